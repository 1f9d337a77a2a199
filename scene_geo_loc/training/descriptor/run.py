"""A training run of a descriptor system, from a file of triplets to its run folder."""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.progress import ProgressCallback
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.checkpoint import load_checkpoint
from scene_geo_loc.packs.image_pack import INPUT_SIZE, ImagePack
from scene_geo_loc.packs.sources import pack_triplets
from scene_geo_loc.places.triplets import Triplets
from scene_geo_loc.training.common.config import SystemConfig, TrainingProtocol
from scene_geo_loc.training.common.initialisation import FIT_IMAGES, fit_poolings, new_network
from scene_geo_loc.training.common.processes import Processes
from scene_geo_loc.training.common.run_folder import RunFolder
from scene_geo_loc.training.descriptor.batches import BatchSettings, TripletBatches
from scene_geo_loc.training.descriptor.hallucination import (
    DEPTH_STAGE,
    RGB_STAGE,
    HallucinationLearner,
    depth_stage,
    rgb_stage,
)
from scene_geo_loc.training.descriptor.learners import DepthLearner, Learner, SceneLearner, coloured
from scene_geo_loc.training.descriptor.trainer import DescriptorTrainer, Watcher
from scene_geo_loc.training.descriptor.validation import Validation, load_validation

STAGES = "stages"
"""Folder within a hallucination network's run folder, of the runs of its first stage."""
_PACK = "triplets"


class RunWatcher(Watcher, Protocol):
    """What is told how a run goes."""

    def packing(self, words: str) -> AbstractContextManager[ProgressCallback]:
        """Shows how many images of how many are packed."""
        ...

    def stage(self, name: str) -> None:
        """A network's training begins, or goes on."""
        ...


@dataclass(frozen=True)
class TrainingData:
    """What systems are trained and validated on.

    Attributes:
        triplets: those of a file.
        digest: SHA-256 of that file, in hexadecimal.
        pack: their images and depth maps.
        validation: of the validation area.
    """

    triplets: Triplets
    digest: str
    pack: ImagePack
    validation: Validation


def load_training_data(
    path: Path,
    root: Path | None,
    packs: Path,
    protocol: TrainingProtocol,
    processes: Processes,
    watcher: RunWatcher,
) -> TrainingData:
    """Triplets and validation area, packed where they are not yet.

    Args:
        path: file of triplets.
        root: folder of the runs, where it is no longer where the file says.
        packs: folder for the packs, which all runs on these triplets share.
        protocol: says how many there are to be.
        processes: of which the first one packs.
        watcher: is told how it goes.

    Raises:
        SceneGeoLocError: the file, the runs or the packs cannot be read or written.
    """
    triplets = Triplets.load(path, root)

    def packed() -> tuple[ImagePack, Validation]:
        with watcher.packing("packing images of triplets") as on_progress:
            pack = pack_triplets(triplets, packs / _PACK, on_progress=on_progress)
        with watcher.packing("packing images of the validation area") as on_progress:
            references, queries = protocol.validation_references, protocol.validation_queries
            folder = packs / f"validation_{references or 'all'}_{queries}"
            validation = load_validation(triplets.root, folder, references, queries, on_progress)
        return pack, validation

    if processes.is_first:
        pack, validation = packed()
    processes.from_first(None)
    if not processes.is_first:
        pack, validation = packed()
    kept = replace(triplets, items=triplets.items[: protocol.triplets])
    return TrainingData(kept, hashlib.sha256(path.read_bytes()).hexdigest(), pack, validation)


class TrainingRun:
    """Trains one system into a folder, resuming what is there.

    Args:
        out: the run folder.
        system: what to train.
        protocol: how.
        seed: decides about everything random.
        data: what to train on.
        processes: those that train together.
        watcher: is told how it goes.

    Raises SceneGeoLocError where the folder holds another run, where the network's input is not what images
    are packed for, or where depth is needed and the triplets have none.
    """

    def __init__(
        self,
        out: Path,
        system: SystemConfig,
        protocol: TrainingProtocol,
        seed: int,
        data: TrainingData,
        processes: Processes,
        watcher: RunWatcher,
    ) -> None:
        self._out, self._system, self._protocol, self._seed = out, system, protocol, seed
        self._data, self._processes, self._watcher = data, processes, watcher
        network = system.network
        if (network.input_width, network.input_height) != (INPUT_SIZE, INPUT_SIZE):
            raise SceneGeoLocError(
                f"{system.name}: its input is {network.input_width} x {network.input_height}, and training "
                f"images are {INPUT_SIZE} x {INPUT_SIZE}: give it that input; its weights serve other shapes."
            )
        if network.descriptor_size is not None:
            raise SceneGeoLocError(
                f"{system.name}: descriptor_size {network.descriptor_size} is that of a projection, which is "
                "fitted after training: train with descriptor_size: null."
            )
        if network.system.needs_depth_maps and not data.pack.known.any():
            raise SceneGeoLocError(
                f"{system.name} is trained with depth maps, and the triplets have none: make the triplets "
                "with depth maps."
            )
        self.folder = self._run_folder(out, system)

    def run(self) -> dict[str, Any]:
        """Trains to the end; returns how it ended, see `DescriptorTrainer.run`.

        Raises:
            CheckpointError: the encoders' first weights are not at hand or of another architecture.
            SceneGeoLocError: a loss is not finite, or the folder cannot be written.
        """
        if (result := self.folder.result) is not None:
            return result
        if self._system.network.system.is_trained_in_stages:
            return self._run_hallucination()
        network = self._begun(self._system, of_depth=False)
        return self._train(SceneLearner(network, self._system), self.folder, self._system)

    def _run_hallucination(self) -> dict[str, Any]:
        trained: list[SceneNetwork] = []
        for name, system in ((RGB_STAGE, rgb_stage(self._system)), (DEPTH_STAGE, depth_stage(self._system))):
            self._watcher.stage(system.name)
            folder = self._run_folder(self._out / STAGES / name, system)
            of_depth = name == DEPTH_STAGE
            if folder.result is None:
                network = self._begun(system, of_depth)
                learner: Learner = DepthLearner(network) if of_depth else SceneLearner(network, system)
                # The validation images have no depth maps: the depth network's best epoch is the last.
                self._train(learner, folder, system, validated=not of_depth)
            self._processes.from_first(None)
            trained.append(load_checkpoint(folder.best)[0])
        self._watcher.stage(self._system.name)
        torch.manual_seed(self._seed)
        network = SceneNetwork(self._system.network)
        return self._train(HallucinationLearner(network, *trained), self.folder, self._system)

    def _begun(self, system: SystemConfig, of_depth: bool) -> SceneNetwork:
        """The network as training begins, its poolings' centres found."""
        network = new_network(system, self._seed).to(self._processes.device)
        if network.is_fitted:
            return network
        images = self._data.validation.images(FIT_IMAGES)
        depth_m = self._true_depth() if self._data.pack.info.with_depth else None
        if of_depth:
            assert depth_m is not None
            images = coloured(depth_m, network.depth_scale)
        fit_poolings(network, images, depth_m)
        return network

    def _train(
        self, learner: Learner, folder: RunFolder, system: SystemConfig, validated: bool = True
    ) -> dict[str, Any]:
        provenance = {
            "system": system.name,
            "protocol": self._protocol.name,
            "seed": self._seed,
            "runs": self._data.triplets.info.runs,
            "triplets": len(self._data.triplets),
            "triplets_sha256": self._data.digest,
        }
        return DescriptorTrainer(
            learner.to(self._processes.device),
            self._batches(system.augmentation),
            self._data.validation if validated else None,
            self._protocol,
            folder,
            provenance,
            self._processes,
            self._watcher,
        ).run()

    def _batches(self, augmentation: bool) -> TripletBatches:
        settings = BatchSettings(
            self._protocol.triplets_a_batch, self._protocol.positives, self._protocol.negatives, augmentation
        )
        return TripletBatches(self._data.pack, self._data.triplets, settings, self._seed)

    def _true_depth(self) -> Tensor:
        """At most `FIT_IMAGES` true depth maps (N, 224, 224) of the triplets, metres, NaN where unknown."""
        found: list[Tensor] = []
        for batch in self._batches(augmentation=False).epoch(0):
            depth_m = batch.depth.flatten(0, 1)
            found.extend(depth_m[depth_m.isfinite().flatten(1).any(dim=1)])
            if len(found) >= FIT_IMAGES:
                break
        return torch.stack(found[:FIT_IMAGES])

    def _run_folder(self, path: Path, system: SystemConfig) -> RunFolder:
        config = {
            "system": system.model_dump(mode="json"),
            "protocol": self._protocol.model_dump(mode="json"),
            "seed": self._seed,
            "triplets": {
                "dataset": self._data.triplets.root.resolve().name,
                "sha256": self._data.digest,
                "used": len(self._data.triplets),
            },
            "processes": self._processes.count,
        }
        if self._processes.is_first:
            folder = RunFolder(path, config)
        self._processes.from_first(None)
        return folder if self._processes.is_first else RunFolder(path, config)
