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


"""Trains a network for the scene coordinates of a source's place, and writes the map that it localizes in."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import Tensor

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.localization.estimate import LocalizerSettings
from scene_geo_loc.localization.scene_coordinates.calibration import CoordinateCalibration
from scene_geo_loc.localization.scene_coordinates.features import DenseFeatures
from scene_geo_loc.localization.scene_coordinates.landmarks import LandmarkHead
from scene_geo_loc.localization.scene_coordinates.network import CoordinateNetwork, Description
from scene_geo_loc.localization.scene_coordinates.systems import NetworkSystem
from scene_geo_loc.mapping.localizer_names import SCENE_COORDINATES
from scene_geo_loc.mapping.map_info import COORDINATE_NETWORK
from scene_geo_loc.networks.architecture.devices import choose_device
from scene_geo_loc.networks.architecture.onnx_graph import with_half_weights
from scene_geo_loc.networks.default import default_network
from scene_geo_loc.networks.forward_pass import COARSE, LOCAL, with_outputs
from scene_geo_loc.packs.posed_images import PosedImages
from scene_geo_loc.training.common.callbacks import NoCallback, RunCallback
from scene_geo_loc.training.common.localizer_map import TrainingPoses, new_map_folder, write_localizer_map
from scene_geo_loc.training.common.loop import TrainingLoop
from scene_geo_loc.training.common.run_folder import RunFolder
from scene_geo_loc.training.pose_regression.images import PlaceImages
from scene_geo_loc.training.scene_coordinates.calibration import (
    calibrate_coordinates,
    calibration_text,
    cameras_of,
)
from scene_geo_loc.training.scene_coordinates.head import CoordinateHead
from scene_geo_loc.training.scene_coordinates.place import open_place
from scene_geo_loc.training.scene_coordinates.pool import CellBatches, Cells, cells_of, make_pool
from scene_geo_loc.training.scene_coordinates.systems import CoordinateProtocol
from scene_geo_loc.training.scene_coordinates.trainer import CoordinateTrainer
from scene_geo_loc.traversals.frame import Traversal

METRES_A_CENTRE, MOST_CENTRES = 10.0, 50
"""Extent of the positions for which the scene has one part more, and most parts."""
CLUSTERED = 5000
"""Points that centres are found from."""
START_DEPTH_M = 5.0
"""Depth of points of images without depth, until the training finds it."""


def train_coordinates(
    traversal: Traversal,
    out: Path,
    protocol: CoordinateProtocol,
    *,
    device: str = "auto",
    overwrite: bool = False,
    callback: RunCallback | None = None,
) -> CoordinateCalibration:
    """Trains a network for scene coordinates, and writes a map that is opened like any other.

    `OUT.run` is the run folder, and `OUT.packs` holds the resized images; a training that was interrupted is
    resumed.

    Args:
        traversal: posed images of the place; their depth is used where there is any.
        out: folder of the map.
        protocol: how the network is trained.
        device: a torch device, or "auto".
        overwrite: whether a map at `out` is replaced.
        callback: receives the progress of the training.

    Returns:
        The calibration, with the errors on images left out of the training.

    Raises SceneGeoLocError if the images do not suffice, if a folder holds something else, or if a loss is
    not finite; the last good network is then in the run folder.
    """
    output, callback = new_map_folder(out, overwrite), callback or NoCallback()
    network, _ = default_network()
    multiple = network.signature.multiple
    place = open_place(traversal, out, protocol.input_width, multiple, protocol.validation_every, callback)
    images = place.images
    height, width = images.images.shape[1:3]
    config = {
        "system": SCENE_COORDINATES,
        "protocol": protocol.model_dump(mode="json"),
        "images": images.made_of,
    }
    run = RunFolder(out.with_name(f"{out.name}.run"), config)
    graph = with_half_weights(with_outputs(network.graph, (LOCAL, COARSE)))
    local, late = network.signature.local_features, network.signature.parts[0].stage
    features = DenseFeatures(graph, local, late, "cpu")
    description = Description(
        input_width=width,
        input_height=height,
        multiple=multiple,
        local=local,
        late=late,
        blocks=protocol.blocks,
        scale_m=1.0,
        extent_m=place.extent_m,
        soft_inliers=protocol.soft_inliers,
        provenance={"source": traversal.name, "protocol": protocol.model_dump(mode="json")},
    )
    if has_landmarks(place, protocol):
        keep_landmarks(place, description, graph, features, protocol, callback).save(run.best)
    else:
        train_layers(place, description, graph, features, protocol, run, device, callback)
    trained = CoordinateNetwork.read(run.best)
    system = NetworkSystem(trained, cameras_of(images), LocalizerSettings(), features)
    calibration = calibrate_coordinates(
        system, images, place.validation, place.extent_m, protocol.accepted_error_m
    )
    write_localizer_map(
        output,
        SCENE_COORDINATES,
        {COORDINATE_NETWORK: trained.with_calibration(calibration).save},
        TrainingPoses(images.T_map_camera, images.K, height, width),
        traversal,
        {**protocol.model_dump(mode="json"), "system": SCENE_COORDINATES},
        overwrite,
    )
    return calibration


def train_coordinate_map(
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
    assert isinstance(protocol, CoordinateProtocol)
    calibration = train_coordinates(
        traversal, out, protocol, device=device, overwrite=overwrite, callback=callback
    )
    medians = (
        f"Scene coordinates, medians {calibration.median_error_m:.3f} m and "
        f"{calibration.median_error_deg:.2f}° on {calibration.images} images left out of the training."
    )
    return medians, calibration_text(calibration)


def has_landmarks(place: PlaceImages, protocol: CoordinateProtocol) -> bool:
    """Returns whether the head is one of landmarks.

    Raises SceneGeoLocError where landmarks are asked for and no image has depth.
    """
    if protocol.head == "layers":
        return False
    has_depth = any(np.isfinite(place.images.depth[i]).any() for i in place.training)
    if protocol.head == "landmarks" and not has_depth:
        raise SceneGeoLocError(
            f"{place.images.made_of}: no image has depth, which landmarks need: name a source with depth or "
            "lidar, or choose layers."
        )
    return has_depth


def keep_landmarks(
    place: PlaceImages,
    description: Description,
    graph: bytes,
    features: DenseFeatures,
    protocol: CoordinateProtocol,
    callback: RunCallback,
) -> CoordinateNetwork:
    """Returns a network whose head keeps cells of known depth, as many of each image, as landmarks."""
    asked = protocol.model_copy(update={"copies": 1, "pool": protocol.landmarks})
    _announce(place, features, asked, callback)
    with callback.packing("computing features") as on_progress:
        pool = make_pool(place.images, place.training, features, asked, on_progress)
    pool = pool.where(np.isfinite(pool.depth))
    points = points_in_map(pool, place.images)
    tensors = LandmarkHead.fit(pool.features.astype(np.float32), points, description.local.channels)
    kept = description.model_copy(update={"landmarks": len(points)})
    return CoordinateNetwork(kept, graph, tensors)


def train_layers(
    place: PlaceImages,
    description: Description,
    graph: bytes,
    features: DenseFeatures,
    protocol: CoordinateProtocol,
    run: RunFolder,
    device: str,
    callback: RunCallback,
) -> None:
    """Trains a head of layers in a run folder, whose best network it then is."""
    _announce(place, features, protocol, callback)
    with callback.packing("computing features") as on_progress:
        pool = make_pool(place.images, place.training, features, protocol, on_progress)
    known = points_in_map(
        pool.where(np.arange(0, len(pool.depth), max(1, len(pool.depth) // CLUSTERED))), place.images
    )
    centres = _centres(known, protocol, place.extent_m)
    rows = pool.features[:: max(1, len(pool.depth) // 50_000)].astype(np.float32)
    spread_m = np.linalg.norm(known - known.mean(axis=0), axis=1).mean()
    description = description.model_copy(update={"scale_m": float(max(0.1, spread_m / len(centres) ** 0.5))})
    torch.manual_seed(protocol.seed)
    head = CoordinateHead(
        _tensor(rows.mean(axis=0)),
        _tensor(rows.std(axis=0) + 1e-3),
        protocol.units,
        protocol.blocks,
        _tensor(centres),
        description.scale_m,
    )
    trainer = CoordinateTrainer(head, description, graph, protocol, place, features, choose_device(device))
    batches = CellBatches(pool, protocol.cells_a_batch, protocol.seed)
    TrainingLoop(trainer, batches, run, epochs=protocol.epochs, callback=callback).run()


def _announce(
    place: PlaceImages, features: DenseFeatures, protocol: CoordinateProtocol, callback: RunCallback
) -> None:
    """Says what the training will take, as measured on one image."""
    cells_of(place.images, 0, 0, features, protocol)  # the first image takes longer
    begin = time.monotonic()
    cells = cells_of(place.images, 0, 0, features, protocol)
    seconds = (time.monotonic() - begin) * len(place.training) * protocol.copies
    megabytes = protocol.pool * (2 * cells.features.shape[1] + 16) / 1e6
    callback.on_stage(
        f"{len(place.training)} images to train with and {len(place.validation)} to validate with; about "
        f"{seconds:.0f} s for the features of {protocol.copies} copies each, and {megabytes:.0f} MB "
        f"for {protocol.pool} cells."
    )


def points_in_map(cells: Cells, images: PosedImages) -> NDArray[np.float64]:
    """Returns the points (N, 3) of cells in the map, those of unknown depth at `START_DEPTH_M`."""
    depth = np.where(np.isfinite(cells.depth), cells.depth, START_DEPTH_M).astype(np.float64)
    fx, fy, cx, cy = images.K[cells.images].T
    x, y = cells.pixels.T
    local = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones(len(x))], axis=1) * depth[:, None]
    T = images.T_map_camera[cells.images]
    return np.asarray(np.einsum("nij,nj->ni", T[:, :3, :3], local) + T[:, :3, 3])


def _centres(
    points: NDArray[np.float64], protocol: CoordinateProtocol, extent_m: float
) -> NDArray[np.float64]:
    """Returns the centres (K, 3) of parts of the scene: k-means of points (M, 3)."""
    count = protocol.centres or int(np.clip(extent_m / METRES_A_CENTRE, 1, MOST_CENTRES))
    rng = np.random.default_rng(protocol.seed)
    centres = points[rng.choice(len(points), min(count, len(points)), replace=False)]
    for _ in range(10):
        nearest = ((points[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        for k in range(len(centres)):
            if (nearest == k).any():
                centres[k] = points[nearest == k].mean(axis=0)
    return np.asarray(centres)


def _tensor(values: NDArray) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))
