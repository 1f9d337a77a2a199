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

"""Trains a pose regressor for the place of a source, and writes the map that it localizes in."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import nn

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.localization.pose_regression.depth_picture import depth_picture
from scene_geo_loc.localization.pose_regression.regressor import Description, Regressor
from scene_geo_loc.mapping.localizer_names import POSE_REGRESSION
from scene_geo_loc.mapping.map_info import REGRESSOR
from scene_geo_loc.networks.architecture.devices import choose_device
from scene_geo_loc.networks.architecture.encoders import ENCODERS, Encoder
from scene_geo_loc.networks.architecture.pose_network import AnchorHead, LayerHead, PoseFeatures
from scene_geo_loc.networks.default import CHECKPOINT
from scene_geo_loc.networks.forward_pass import FEATURES
from scene_geo_loc.networks.inference_network import input_size_for
from scene_geo_loc.networks.runtime.backends import GraphBackend, Work, graph_backends, start_first
from scene_geo_loc.networks.runtime.extractor import FIT_IMAGES, evenly_spread
from scene_geo_loc.packs.posed_images import PosedImages, pack_posed_images
from scene_geo_loc.training.common.callbacks import NoCallback, RunCallback
from scene_geo_loc.training.common.initialisation import load_encoder
from scene_geo_loc.training.common.localizer_map import (
    TrainingPoses,
    first_frame,
    new_map_folder,
    write_localizer_map,
)
from scene_geo_loc.training.common.localizer_protocol import FeatureProtocol
from scene_geo_loc.training.common.loop import TrainingLoop
from scene_geo_loc.training.common.run_folder import RunFolder
from scene_geo_loc.training.pose_regression.anchors import set_anchors
from scene_geo_loc.training.pose_regression.calibration import calibrate, calibration_text
from scene_geo_loc.training.pose_regression.images import PlaceImages
from scene_geo_loc.training.pose_regression.systems import PoseProtocol, PoseSystem, Weighting
from scene_geo_loc.training.pose_regression.trainer import PoseBatches, PoseTrainer
from scene_geo_loc.traversals.depth_choice import DepthChoice
from scene_geo_loc.traversals.frame import Traversal

LARGEST_ACCEPTED_M, ACCEPTED_SHARE = 5.0, 0.1
CALIBRATION_COPIES = 4
"""Copies of each image of the validation, the first as it is: in the light of the training alone the errors
would be much smaller than those at another hour."""
MOST_FEATURE_BYTES = 4 * 10**9
"""More features than this are not held in memory."""
_TIMED_IMAGES = 3


@dataclass(frozen=True)
class Plan:
    """Expected cost of a training.

    Attributes:
        images, validated: number of images to train with and to validate with.
        feature_seconds: to compute the features of all copies, as measured on a few.
        feature_bytes: that they take in memory.
    """

    images: int
    validated: int
    feature_seconds: float
    feature_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.images} images to train with and {self.validated} to validate with; about "
            f"{self.feature_seconds:.0f} s for their features, {self.feature_bytes / 1e6:.0f} MB of memory"
        )


def train_pose(
    traversal: Traversal,
    out: Path,
    system: PoseSystem,
    protocol: PoseProtocol,
    *,
    device: str = "auto",
    overwrite: bool = False,
    callback: RunCallback | None = None,
) -> dict[str, Any]:
    """Trains a regressor, and writes a map that is opened like any other.

    `OUT.run` is the run folder, and `OUT.packs` holds the resized images; a training that was interrupted is
    resumed.

    Args:
        traversal: posed images of the place.
        out: folder of the map.
        system: what is trained.
        protocol: how it is trained.
        device: a torch device, or "auto".
        overwrite: whether a map at `out` is replaced.
        callback: receives the progress of the training.

    Returns:
        The result of the run with the calibration.

    Raises SceneGeoLocError if the images do not suffice, if a folder holds something else, or if a loss is
    not finite; the best regressor so far is then in the run folder.
    """
    output, first, design = new_map_folder(out, overwrite), first_frame(traversal), system.design
    _check_protocol(system, protocol)
    encoder = make_encoder(protocol)
    size = input_size_of(first.camera, protocol, encoder)
    packs = out.with_name(f"{out.name}.packs")
    taken = traversal if design.needs_depth else DepthChoice(traversal)
    callback = callback or NoCallback()
    with callback.packing("packing") as on_packing:
        images = pack_posed_images(
            [taken], packs / ("depth" if design.needs_depth else "images"), size, on_packing
        )
    place = PlaceImages(images, protocol.validation_every)
    config = {
        "system": system.value,
        "protocol": protocol.model_dump(mode="json"),
        "images": images.made_of,
    }
    run = RunFolder(out.with_name(f"{out.name}.run"), config)
    torch.manual_seed(protocol.seed)
    network = PoseFeatures(encoder, *size).eval()
    depth_scale_m = place.depth_scale_m() if design.has_depth else None
    copies = 1 if protocol.trains_encoder else protocol.crops
    rows, mean = compute_features(
        network.graph(), network.size, place, copies, protocol.seed, callback, depth_scale_m
    )
    count = rows.shape[2]
    clip = protocol.clip if design.context == "clip" else 1
    components = min(protocol.components, len(place.training) - 1)
    x, y, z = map(float, place.centre)
    description = Description(
        system=system.value,
        encoder=encoder.name,
        input_width=size[0],
        input_height=size[1],
        is_planar=design.is_planar,
        is_bayesian=design.is_bayesian,
        has_variance=design.has_variance,
        dropout=protocol.dropout,
        samples=protocol.samples,
        head=protocol.head,
        context=design.context,
        clip=clip,
        depth_scale_m=depth_scale_m,
        centre=(x, y, z),
        scale_m=place.scale_m,
        level_rotation=place.level_rotation.tolist(),
        provenance={"source": traversal.name, "protocol": protocol.model_dump(mode="json")},
    )
    kind = LayerHead if protocol.head == "layers" else AnchorHead
    units = protocol.units if protocol.head == "layers" else min(protocol.units, len(place.training))
    head = kind(count, components, units, description.outputs, protocol.dropout, design.context)
    trained = rows[place.training].reshape(-1, count)
    fit_projection(head.projection, trained[evenly_spread(len(trained), FIT_IMAGES)], mean)
    if isinstance(head, AnchorHead):
        set_anchors(head, rows[place.training], place, description)
    held_out = np.arange(len(place.validation))
    validated = place.clips(place.validation, held_out, np.ones_like(held_out), clip)
    trainer = PoseTrainer(
        network,
        head,
        mean,
        description,
        design,
        protocol,
        place,
        rows[validated, 0],
        choose_device(device),
    )
    batches = PoseBatches(place, protocol, None if protocol.trains_encoder else rows, clip)
    threads = torch.get_num_threads()
    # Layers as small as the head's are faster on one.
    torch.set_num_threads(threads if protocol.trains_encoder else 1)
    result = TrainingLoop(trainer, batches, run, epochs=protocol.epochs, callback=callback).run()
    torch.set_num_threads(threads)
    regressor = Regressor.read(run.best)
    accepted_m = protocol.accepted_error_m or min(LARGEST_ACCEPTED_M, ACCEPTED_SHARE * place.extent_m)
    lights = min(CALIBRATION_COPIES, protocol.crops)
    if protocol.trains_encoder:
        backend = started_backend(regressor.graph, images)
        rows = np.zeros((len(rows), lights, count), np.float32)
        for i in place.validation:
            for light, pixels in enumerate(place.copies(int(i), lights, protocol.seed)):
                rows[i, light] = backend.run(pixels)[FEATURES].ravel()
    by_light = [[regressor.regress(rows[numbers, light]) for numbers in validated] for light in range(lights)]
    calibration = calibrate(
        by_light[0],
        list(chain.from_iterable(by_light[1:])),
        images.T_map_camera[place.validation],
        accepted_m,
        place.extent_m,
    )
    regressor = regressor.with_calibration(calibration)
    settings = {"system": system.value, **protocol.model_dump(mode="json")}
    poses = TrainingPoses(images.T_map_camera, images.K, *images.images.shape[1:3])
    write_localizer_map(
        output, POSE_REGRESSION, {REGRESSOR: regressor.save}, poses, traversal, settings, overwrite
    )
    return {**result, "calibration": calibration.model_dump()}


def train_regressor_map(
    traversal: Traversal,
    out: Path,
    system: str,
    protocol: BaseModel,
    *,
    device: str,
    overwrite: bool,
    callback: RunCallback,
) -> Sequence[str]:
    """See `LocalizerTrainer`."""
    assert isinstance(protocol, PoseProtocol)
    chosen = PoseSystem(system)
    result = train_pose(
        traversal, out, chosen, protocol, device=device, overwrite=overwrite, callback=callback
    )
    medians = (
        f"{chosen.design.title}, medians {result['position_m']:.2f} m and {result['rotation_deg']:.2f}° on "
        f"images left out of the training (epoch {result['best_epoch']})."
    )
    return medians, calibration_text(result["calibration"])


def _check_protocol(system: PoseSystem, protocol: PoseProtocol) -> None:
    """Raises SceneGeoLocError if a system cannot be trained by a protocol."""
    design = system.design
    if protocol.trains_encoder and (design.has_depth or design.context == "clip"):
        raise SceneGeoLocError(
            f"{system.value} is trained on fixed features: do not train the encoder, or name another system."
        )
    if design.weighting is Weighting.MIXTURE and protocol.head != "anchors":
        raise SceneGeoLocError(
            f"{system.value} is a mixture of anchors: choose the head 'anchors', or another system."
        )


def make_encoder(protocol: FeatureProtocol) -> Encoder:
    """Returns the encoder of a protocol with its first weights.

    Raises SceneGeoLocError if there is none of that name, CheckpointError if its weights are not available.
    """
    if protocol.encoder not in ENCODERS:
        raise SceneGeoLocError(
            f"There is no encoder {protocol.encoder!r}: choose one of {', '.join(ENCODERS)}."
        )
    torch.manual_seed(protocol.seed)
    encoder = ENCODERS[protocol.encoder]()
    load_encoder(encoder, str(CHECKPOINT) if protocol.weights == "default" else protocol.weights)
    return encoder


def input_size_of(camera: Camera, protocol: FeatureProtocol, encoder: Encoder) -> tuple[int, int]:
    """Returns width and height of the network's input for the shape of a camera's images."""
    area = round(protocol.input_width**2 * camera.height / camera.width)
    return input_size_for(camera.width, camera.height, encoder.multiple, max(area, 4 * encoder.multiple**2))


def compute_features(
    graph: bytes,
    size: int,
    place: PlaceImages,
    copies: int,
    seed: int,
    callback: RunCallback,
    depth_scale_m: float | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the features (N, copies, F) of all images, and their mean (F,) over those to train with.

    Images of the validation have at most `CALIBRATION_COPIES`.  With a scale of the depth, the features of
    its picture follow those of the image.

    Args:
        graph: the encoder's forward pass as ONNX.
        size: number of features of an image.
        place: the images.
        copies: of each image in changed light, the first as it is.
        seed: of the changes.
        callback: receives the progress.
        depth_scale_m: scale of the picture of the depth, the second stream; None: there is none.

    Raises SceneGeoLocError if the features are more than can be held.
    """
    count = len(place.images)
    row_size = size * (1 if depth_scale_m is None else 2)
    plan = Plan(len(place.training), len(place.validation), 0.0, 4 * count * copies * row_size)
    if plan.feature_bytes > MOST_FEATURE_BYTES:
        raise SceneGeoLocError(
            f"The features of {count} images with {copies} copies take {plan.feature_bytes / 1e9:.1f} GB > "
            f"{MOST_FEATURE_BYTES / 1e9:.1f} GB: use fewer crops, every n-th frame, or several maps."
        )
    # What a robot runs, so that the head is trained on the features that it will see.
    backend = started_backend(graph, place.images)
    rows = np.zeros((count, copies, row_size), np.float32)
    validated = min(copies, CALIBRATION_COPIES)
    total, done = len(place.validation) * validated + len(place.training) * copies, 0

    def compute(i: int, number: int) -> None:
        nonlocal done
        for copy, pixels in enumerate(place.copies(i, number, seed)):
            rows[i, copy, :size] = backend.run(pixels)[FEATURES].ravel()
            done += 1
        if depth_scale_m is not None:
            picture = depth_picture(place.images.depth[i], depth_scale_m)
            rows[i, :, size:] = backend.run(picture)[FEATURES].ravel()

    begin = time.monotonic()
    for i in place.training[:_TIMED_IMAGES]:
        compute(int(i), copies)
    seconds = (time.monotonic() - begin) * total / max(done, 1)
    callback.on_stage(f"{Plan(plan.images, plan.validated, seconds, plan.feature_bytes)}.")
    with callback.packing("computing features") as on_features:
        for i in place.training[_TIMED_IMAGES:]:
            compute(int(i), copies)
            on_features(done, total)
        for i in place.validation:
            compute(int(i), validated)
            on_features(done, total)
    return rows, rows[place.training].mean(axis=(0, 1))


def started_backend(graph: bytes, images: PosedImages) -> GraphBackend:
    """Returns the backend that runs a graph on the CPU."""
    shape = (1, *images.images.shape[1:])
    return start_first(graph_backends(Work(graph, (FEATURES,), shape), "cpu"), "cpu")


def fit_projection(projection: nn.Linear, rows: NDArray[np.float32], mean: NDArray[np.float32]) -> None:
    """Sets a projection to the first principal components of features (M, F), scaled to a variance of 1."""
    centred = torch.from_numpy(rows - mean)
    count = projection.out_features
    _, values, axes = torch.svd_lowrank(centred, q=min(count + 16, *centred.shape), niter=2)
    # Not each to variance 1: that would enlarge the noise of the last ones.
    std = float(values[:count].square().mean().sqrt()) / max(1, len(rows) - 1) ** 0.5
    weight = axes[:, :count].T / max(std, 1e-12)
    with torch.no_grad():
        projection.weight.copy_(weight)
        projection.bias.copy_(-weight @ torch.from_numpy(mean))
