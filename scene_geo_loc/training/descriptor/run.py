# Copyright 2026 The scene_geo_loc authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""A training run of a descriptor system, from a file of triplets to the run folder."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.architecture.checkpoint import load_checkpoint
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.packs.image_pack import INPUT_SIZE, ImagePack
from scene_geo_loc.packs.sources import pack_triplets
from scene_geo_loc.places.triplets import Triplets
from scene_geo_loc.training.common.callbacks import RunCallback
from scene_geo_loc.training.common.config import SystemConfig
from scene_geo_loc.training.common.initialisation import (
    FIT_IMAGES,
    first_weights,
    fit_poolings,
    new_network,
)
from scene_geo_loc.training.common.loop import TrainingLoop
from scene_geo_loc.training.common.processes import Processes
from scene_geo_loc.training.common.protocols import TrainingProtocol
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
from scene_geo_loc.training.descriptor.trainer import DescriptorTrainer
from scene_geo_loc.training.descriptor.validation import Validation, load_validation

STAGES = "stages"
"""Folder in a run folder with the runs of earlier stages."""
_PACK = "triplets"


@dataclass(frozen=True)
class TrainingData:
    """The data that systems are trained and validated on.

    Attributes:
        triplets: of a file.
        digest: SHA-256 of that file, in hexadecimal.
        pack: their images and depth maps.
        validation: the validation area.
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
    callback: RunCallback,
) -> TrainingData:
    """Loads triplets and validation area, and packs their images if needed.

    Args:
        path: file of triplets.
        root: folder of the runs, if it is no longer where the file says.
        packs: folder for the packs, shared by all runs on these triplets.
        protocol: settings of the training, with the numbers of triplets, references and queries.
        processes: that train together; the first one packs.
        callback: receives the progress.

    Raises:
        SceneGeoLocError: the file, the runs or the packs cannot be read or written.
    """
    triplets = Triplets.load(path, root)

    def packed() -> tuple[ImagePack, Validation]:
        with callback.packing("packing images of triplets") as on_progress:
            pack = pack_triplets(triplets, packs / _PACK, on_progress=on_progress)
        with callback.packing("packing images of the validation area") as on_progress:
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
    """The training of one system in a run folder, from the beginning or from where it was stopped.

    Args:
        out: the run folder.
        system: is trained.
        protocol: settings of the training.
        seed: of everything random.
        data: training and validation data.
        processes: that train together.
        callback: receives the progress.

    Raises SceneGeoLocError if the folder holds another run, if the network's input has another size than
    packed images, or if the system needs depth maps and the triplets have none.
    """

    def __init__(
        self,
        out: Path,
        system: SystemConfig,
        protocol: TrainingProtocol,
        seed: int,
        data: TrainingData,
        processes: Processes,
        callback: RunCallback,
    ) -> None:
        self._out, self._system, self._protocol, self._seed = out, system, protocol, seed
        self._data, self._processes, self._callback = data, processes, callback
        network = system.network
        if (network.input_width, network.input_height) != (INPUT_SIZE, INPUT_SIZE):
            raise SceneGeoLocError(
                f"{system.name}: its input is {network.input_width} x {network.input_height} and training "
                f"images are {INPUT_SIZE} x {INPUT_SIZE}: set input_width and input_height to {INPUT_SIZE}; "
                "the weights do not depend on them."
            )
        if network.descriptor_size is not None:
            raise SceneGeoLocError(
                f"{system.name}: descriptor_size {network.descriptor_size} needs a projection, which is "
                "fitted after training: set descriptor_size to null."
            )
        if network.system.needs_depth_maps and not data.pack.known.any():
            raise SceneGeoLocError(
                f"{system.name} is trained with depth maps, and the triplets have none: make the triplets "
                "with depth maps."
            )
        self.folder = self._run_folder(out, system)

    def run(self) -> dict[str, Any]:
        """Trains to the end; returns the result, see `TrainingLoop.run`.

        Raises:
            CheckpointError: the first weights of the encoders are not available or of another architecture.
            SceneGeoLocError: a loss is not finite, or the folder cannot be written.
        """
        if (result := self.folder.result) is not None:
            return result
        if self._system.network.system.is_trained_in_stages:
            return self._run_stages()
        network = self._initialised(self._system, of_depth=False)
        return self._train(SceneLearner(network, self._system), self.folder, self._system)

    def _run_stages(self) -> dict[str, Any]:
        """Trains a network on images and one on depth maps, then the hallucination network from both."""
        trained: list[SceneNetwork] = []
        for name, system in ((RGB_STAGE, rgb_stage(self._system)), (DEPTH_STAGE, depth_stage(self._system))):
            self._callback.on_stage(system.name)
            folder = self._run_folder(self._out / STAGES / name, system)
            of_depth = name == DEPTH_STAGE
            if folder.result is None:
                network = self._initialised(system, of_depth)
                learner: Learner = DepthLearner(network) if of_depth else SceneLearner(network, system)
                # The validation images have no depth maps, so the best epoch of the depth network is the
                # last.
                self._train(learner, folder, system, validated=not of_depth)
            self._processes.from_first(None)
            trained.append(load_checkpoint(folder.best)[0])
        self._callback.on_stage(self._system.name)
        torch.manual_seed(self._seed)
        network = SceneNetwork(self._system.network)
        return self._train(HallucinationLearner(network, *trained), self.folder, self._system)

    def _initialised(self, system: SystemConfig, of_depth: bool) -> SceneNetwork:
        """Returns a network with its first weights and fitted poolings."""
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
            "initial_weights": first_weights(system),
        }
        trainer = DescriptorTrainer(
            learner.to(self._processes.device),
            self._data.validation if validated else None,
            self._protocol,
            provenance,
            self._processes,
        )
        return TrainingLoop(
            trainer,
            self._batches(system.augmentation),
            folder,
            epochs=self._protocol.epochs,
            patience=self._protocol.patience,
            checkpoint_minutes=self._protocol.checkpoint_minutes,
            processes=self._processes,
            callback=self._callback,
        ).run()

    def _batches(self, augmentation: bool) -> TripletBatches:
        settings = BatchSettings(
            self._protocol.triplets_a_batch, self._protocol.positives, self._protocol.negatives, augmentation
        )
        return TripletBatches(self._data.pack, self._data.triplets, settings, self._seed)

    def _true_depth(self) -> Tensor:
        """Returns at most `FIT_IMAGES` true depth maps (N, 224, 224) of the triplets, metres, NaN where
        unknown.
        """
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
