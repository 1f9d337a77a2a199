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

"""Trains a network for relative poses on the images of a source, and writes the map of its place."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.partial import PartialFolder
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.pose import position_error_m, rotation_error_deg
from scene_geo_loc.localization.relative_pose.network import (
    Description,
    RelativeNetwork,
    RelativeRegressor,
)
from scene_geo_loc.mapping.localizer_names import RELATIVE_POSE
from scene_geo_loc.mapping.map_info import RELATIVE_KEYFRAMES, RELATIVE_NETWORK
from scene_geo_loc.networks.architecture.devices import choose_device
from scene_geo_loc.networks.architecture.pose_network import PoseFeatures
from scene_geo_loc.networks.runtime.extractor import FIT_IMAGES, evenly_spread
from scene_geo_loc.packs.posed_images import pack_posed_images
from scene_geo_loc.training.common.callbacks import NoCallback, RunCallback
from scene_geo_loc.training.common.localizer_map import (
    Keyframes,
    first_frame,
    new_map_folder,
    write_localizer_map,
)
from scene_geo_loc.training.common.loop import TrainingLoop
from scene_geo_loc.training.common.run_folder import RunFolder
from scene_geo_loc.training.pose_regression.calibration import calibrate, calibration_text
from scene_geo_loc.training.pose_regression.images import PlaceImages
from scene_geo_loc.training.pose_regression.run import (
    ACCEPTED_SHARE,
    CALIBRATION_COPIES,
    LARGEST_ACCEPTED_M,
    compute_features,
    fit_projection,
    input_size_of,
    make_encoder,
)
from scene_geo_loc.training.relative_pose.overlap import frustum_overlap
from scene_geo_loc.training.relative_pose.settings import SYSTEM, RelativeProtocol
from scene_geo_loc.training.relative_pose.trainer import (
    MIN_OVERLAP,
    PairBatches,
    RelativeHead,
    RelativeTrainer,
)
from scene_geo_loc.traversals.depth_choice import DepthChoice
from scene_geo_loc.traversals.frame import Traversal

FRUSTUM_SHARE, FRUSTUM_M = 0.25, (4.0, 40.0)
"""Depth of the frustums as a share of the extent of the positions, and its limits, metres."""


def train_relative(
    traversal: Traversal,
    out: Path,
    protocol: RelativeProtocol,
    *,
    device: str = "auto",
    overwrite: bool = False,
    callback: RunCallback | None = None,
) -> dict[str, Any]:
    """Trains a network for relative poses, and writes a map that is opened like any other.

    `OUT.run` is the run folder, and `OUT.packs` holds the resized images; a training that was interrupted is
    resumed.

    Args:
        traversal: posed images of the place.
        out: folder of the map.
        protocol: how it is trained; with 0 epochs an earlier network is used as it is.
        device: a torch device, or "auto".
        overwrite: whether a map at `out` is replaced.
        callback: receives the progress of the training.

    Returns:
        The result of the run with the calibration.

    Raises SceneGeoLocError if the images do not suffice, if a folder holds something else, or if a loss is
    not finite; the best network so far is then in the run folder.  CheckpointError if an earlier network is
    damaged.
    """
    output, callback = new_map_folder(out, overwrite), callback or NoCallback()
    if protocol.epochs == 0 and protocol.network is None:
        raise SceneGeoLocError("With 0 epochs nothing is trained: name the network of an earlier map to use.")
    first = first_frame(traversal)
    earlier = None if protocol.network is None else RelativeNetwork.read(Path(protocol.network))
    if earlier is None:
        encoder = make_encoder(protocol)
        size = input_size_of(first.camera, protocol, encoder)
        features = PoseFeatures(encoder, *size).eval()
        graph, feature_size, encoder_name = features.graph(), features.size, encoder.name
    else:
        size = (earlier.description.input_width, earlier.description.input_height)
        graph, feature_size, encoder_name = earlier.graph, earlier.size, earlier.description.encoder
    packs = out.with_name(f"{out.name}.packs")
    with callback.packing("packing") as on_packing:
        images = pack_posed_images([DepthChoice(traversal)], packs / "images", size, on_packing)
    place = PlaceImages(images, protocol.validation_every)
    config = {"system": SYSTEM, "protocol": protocol.model_dump(mode="json"), "images": images.made_of}
    run = RunFolder(out.with_name(f"{out.name}.run"), config)
    copies = protocol.crops if protocol.epochs else CALIBRATION_COPIES
    rows, mean = compute_features(graph, feature_size, place, copies, protocol.seed, callback)
    frustum_m = protocol.frustum_m or float(np.clip(FRUSTUM_SHARE * place.extent_m, *FRUSTUM_M))
    overlap = frustum_overlap(images.T_map_camera, images.K, *size, frustum_m)
    result: dict[str, Any] = {}
    if protocol.epochs:
        description = _description(
            protocol, earlier, encoder_name, size, frustum_m, _scale(place, overlap), traversal.name
        )
        head = _head(protocol, earlier, rows[place.training].reshape(-1, feature_size), mean)
        with torch.no_grad():
            projected = head.projection(torch.from_numpy(rows)).numpy()
        trainer = RelativeTrainer(
            head, graph, description, protocol, place, projected[:, 0], overlap, choose_device(device)
        )
        batches = PairBatches(place, protocol, projected, overlap)
        threads = torch.get_num_threads()
        # Layers as small as the head's are faster on one.
        torch.set_num_threads(1)
        result = TrainingLoop(trainer, batches, run, epochs=protocol.epochs, callback=callback).run()
        torch.set_num_threads(threads)
        network = RelativeNetwork.read(run.best)
    else:
        assert earlier is not None
        network = earlier.with_description(calibration=None, retrieved=protocol.retrieved)
    return _finish(network, rows, place, traversal, protocol, result, output, overwrite)


def train_relative_map(
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
    assert isinstance(protocol, RelativeProtocol)
    result = train_relative(traversal, out, protocol, device=device, overwrite=overwrite, callback=callback)
    epoch = f" (epoch {result['best_epoch']})" if "best_epoch" in result else ""
    medians = (
        f"relative pose, medians {result['position_m']:.2f} m and {result['rotation_deg']:.2f}° on images "
        f"left out of the training{epoch}; those of the nearest keyframes by the metric are "
        f"{result['retrieved_position_m']:.2f} m and {result['retrieved_rotation_deg']:.2f}°."
    )
    return medians, calibration_text(result["calibration"])


def _finish(
    network: RelativeNetwork,
    rows: NDArray[np.float32],
    place: PlaceImages,
    traversal: Traversal,
    protocol: RelativeProtocol,
    result: dict[str, Any],
    output: PartialFolder,
    overwrite: bool,
) -> dict[str, Any]:
    """Calibrates a network on the images of the validation, and writes the map with all images as keyframes.

    Args:
        rows: (N, copies, F) features of the images as they are and in other light.
    """
    T, projected = place.images.T_map_camera, network.project(rows[:, 0])
    regressor = RelativeRegressor(network, projected[place.training], T[place.training])
    regressions = [regressor.regress_projected(row) for row in projected[place.validation]]
    accepted_m = protocol.accepted_error_m or min(LARGEST_ACCEPTED_M, ACCEPTED_SHARE * place.extent_m)
    true = T[place.validation]
    changed = [
        regressor.regress_projected(row)
        for light in range(1, min(CALIBRATION_COPIES, rows.shape[1]))
        for row in network.project(rows[place.validation, light])
    ]
    calibration = calibrate(regressions, changed, true, accepted_m, place.extent_m)
    found = np.stack([regression.T_map_camera for regression in regressions])
    nearest = T[place.training][regressor.nearest(projected[place.validation])]
    medians = {
        "position_m": float(np.median(position_error_m(true, found))),
        "rotation_deg": float(np.median(rotation_error_deg(true, found))),
        "retrieved_position_m": float(np.median(position_error_m(true, nearest))),
        "retrieved_rotation_deg": float(np.median(rotation_error_deg(true, nearest))),
    }
    network = network.with_description(calibration=calibration)
    whole = RelativeRegressor(network, projected, T)
    height, width = place.images.images.shape[1:3]
    cameras = [Camera(width, height, *K) for K in place.images.K.tolist()]
    write_localizer_map(
        output,
        RELATIVE_POSE,
        {RELATIVE_NETWORK: network.save, RELATIVE_KEYFRAMES: whole.save_keyframes},
        Keyframes(T, cameras),
        traversal,
        {"system": SYSTEM, **protocol.model_dump(mode="json")},
        overwrite,
    )
    return {**result, **medians, "calibration": calibration.model_dump()}


def _description(
    protocol: RelativeProtocol,
    earlier: RelativeNetwork | None,
    encoder: str,
    size: tuple[int, int],
    frustum_m: float,
    scale_m: float,
    source: str,
) -> Description:
    """Returns the description of the network to train; one that is trained on keeps its scale."""
    provenance = {"protocol": protocol.model_dump(mode="json")}
    if earlier is not None:
        return earlier.description.model_copy(
            update={
                "trained_on": [*earlier.description.trained_on, source],
                "frustum_m": frustum_m,
                "retrieved": protocol.retrieved,
                "calibration": None,
                "provenance": provenance,
            }
        )
    return Description(
        encoder=encoder,
        input_width=size[0],
        input_height=size[1],
        scale_m=scale_m,
        frustum_m=frustum_m,
        retrieved=protocol.retrieved,
        trained_on=[source],
        provenance=provenance,
    )


def _scale(place: PlaceImages, overlap: NDArray[np.float32]) -> float:
    """Returns the root mean square distance of the pairs of images to train with that overlap, metres."""
    positions = place.images.T_map_camera[place.training, :3, 3]
    squared = ((positions[:, None] - positions) ** 2).sum(axis=-1)
    shows = overlap[np.ix_(place.training, place.training)] >= MIN_OVERLAP
    np.fill_diagonal(shows, False)
    return float(max(np.sqrt(squared[shows].mean()) if shows.any() else place.scale_m, 0.01))


def _head(
    protocol: RelativeProtocol,
    earlier: RelativeNetwork | None,
    rows: NDArray[np.float32],
    mean: NDArray[np.float32],
) -> RelativeHead:
    """Returns the head to train: a new one, its projection fitted to features (M, F), or an earlier one."""
    torch.manual_seed(protocol.seed)
    if earlier is not None:
        units = earlier.tensors["pair_second.weight"].shape[0]
        head = RelativeHead(earlier.size, earlier.components, units, protocol.dropout)
        tensors = {
            name: torch.from_numpy(value.astype(np.float32)) for name, value in earlier.tensors.items()
        }
        head.load_state_dict(tensors)
        return head
    components = min(protocol.components, len(rows) - 1)
    head = RelativeHead(rows.shape[1], components, protocol.units, protocol.dropout)
    fit_projection(head.projection, rows[evenly_spread(len(rows), FIT_IMAGES)], mean)
    return head
