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


"""Grows a regression forest for the scene coordinates of RGB-D images, and writes the map that it is for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.geometry.pose import transform
from scene_geo_loc.localization.scene_coordinates.calibration import CoordinateCalibration
from scene_geo_loc.localization.scene_coordinates.forest import Forest, ForestDescription, responses
from scene_geo_loc.localization.scene_coordinates.systems import ForestSystem
from scene_geo_loc.mapping.localizer_names import SCENE_COORDINATES
from scene_geo_loc.mapping.map_info import COORDINATE_FOREST
from scene_geo_loc.training.common.callbacks import NoCallback, RunCallback
from scene_geo_loc.training.common.localizer_map import TrainingPoses, new_map_folder, write_localizer_map
from scene_geo_loc.training.pose_regression.images import PlaceImages
from scene_geo_loc.training.scene_coordinates.calibration import (
    calibrate_coordinates,
    calibration_text,
    camera_of,
    cameras_of,
)
from scene_geo_loc.training.scene_coordinates.place import open_place
from scene_geo_loc.training.scene_coordinates.systems import CoordinateSystemName, ForestProtocol
from scene_geo_loc.traversals.frame import Traversal

LARGEST_OFFSET = 0.5
"""Largest offset of a compared pixel at a depth of 1 m, in widths of the image."""
MODES, MODE_RADIUS_M, LEAST_MODE_SHARE = 2, 0.1, 0.2
"""Most modes of a leaf, radius of a mode, and least share of a leaf's pixels in a further one."""
THRESHOLDS = 4
"""Thresholds drawn for each comparison in each node."""
_MULTIPLE = 8


@dataclass
class Pixels:
    """Pixels that a tree is grown with.

    Attributes:
        images: (N, H, W, 3).
        depths: (N, H, W) metres, NaN where unknown.
        number: (M,) image of each pixel.
        pixels: (M, 2) x and y.
        points: (M, 3) in the map, metres.
    """

    images: NDArray[np.uint8]
    depths: NDArray[np.float32]
    number: NDArray[np.intp]
    pixels: NDArray[np.intp]
    points: NDArray[np.float64]


@dataclass
class _Tree:
    """A growing tree; nodes are numbered in order of their level."""

    splits: list[NDArray[np.float32]] = field(default_factory=lambda: [np.zeros((1, 7), np.float32)])
    thresholds: list[NDArray[np.float32]] = field(default_factory=lambda: [np.zeros(1, np.float32)])
    children: list[NDArray[np.int32]] = field(default_factory=lambda: [np.full(1, -1, np.int32)])


def train_forest(
    traversal: Traversal,
    out: Path,
    protocol: ForestProtocol,
    *,
    overwrite: bool = False,
    callback: RunCallback | None = None,
) -> CoordinateCalibration:
    """Grows a forest for the place of a source, and writes a map that is opened like any other.

    `OUT.packs` holds the resized images, which a training that was interrupted takes again.

    Returns the calibration, with the errors on images left out of the training.

    Raises SceneGeoLocError if the images do not suffice or have no depth, or if a folder holds
    something else.
    """
    output, callback = new_map_folder(out, overwrite), callback or NoCallback()
    place = open_place(traversal, out, protocol.input_width, _MULTIPLE, protocol.validation_every, callback)
    images = place.images
    height, width = images.images.shape[1:3]
    memory_mb = len(place.training) * height * width * 7 / 1e6 + protocol.pixels_a_tree * 100 / 1e6
    callback.on_stage(
        f"{len(place.training)} images to train with and {len(place.validation)} to validate with; "
        f"{protocol.trees} trees of {protocol.pixels_a_tree} pixels, {memory_mb:.0f} MB."
    )
    trees = []
    begin = time.monotonic()
    with callback.packing("growing trees") as on_progress:
        for tree in range(protocol.trees):
            rng = np.random.default_rng((protocol.seed, tree))
            trees.append(grow(_pixels(place, protocol, rng), protocol, rng))
            on_progress(tree + 1, protocol.trees)
    description = ForestDescription(
        input_width=width,
        input_height=height,
        inlier_m=protocol.inlier_m,
        provenance={
            "source": traversal.name,
            "protocol": protocol.model_dump(mode="json"),
            "seconds": round(time.monotonic() - begin, 1),
        },
    )
    forest = Forest(description, joined(trees))
    system = ForestSystem(forest, cameras_of(images))
    calibration = calibrate_coordinates(
        system, images, place.validation, place.extent_m, protocol.accepted_error_m
    )
    write_localizer_map(
        output,
        SCENE_COORDINATES,
        {COORDINATE_FOREST: forest.with_calibration(calibration).save},
        TrainingPoses(images.T_map_camera, images.K, height, width),
        traversal,
        {**protocol.model_dump(mode="json"), "system": CoordinateSystemName.FOREST.value},
        overwrite,
    )
    return calibration


def train_forest_map(
    traversal: Traversal,
    out: Path,
    system: str,
    protocol: BaseModel,
    *,
    device: str,
    overwrite: bool,
    callback: RunCallback,
) -> Sequence[str]:
    """See `LocalizerTrainer`; the forest is grown on the CPU whatever the device is."""
    assert isinstance(protocol, ForestProtocol)
    calibration = train_forest(traversal, out, protocol, overwrite=overwrite, callback=callback)
    medians = (
        f"Regression forest, medians {calibration.median_error_m:.3f} m and "
        f"{calibration.median_error_deg:.2f}° on {calibration.images} images left out of the training."
    )
    return medians, calibration_text(calibration)


def grow(data: Pixels, protocol: ForestProtocol, rng: np.random.Generator) -> dict[str, NDArray]:
    """Returns a tree, level by level: each node takes the comparison that reduces the variance most."""
    width = data.depths.shape[2]
    tree = _Tree()
    node = np.zeros(len(data.pixels), np.intp)  # of each pixel, among those of its level
    numbers = node.copy()  # the same among all nodes of the tree
    alive, total = np.ones(len(node), bool), 1
    for _ in range(protocol.levels - 1):
        count = len(tree.children[-1])
        best = np.full(count, np.inf)
        splits, thresholds = np.zeros((count, 7), np.float32), np.zeros(count, np.float32)
        members = np.flatnonzero(alive)
        if not len(members):
            break
        at, points = node[members], data.points[members] - data.points.mean(axis=0)
        for _ in range(protocol.comparisons):
            split = _drawn_split(width, rng)
            values = responses(data.images, data.depths, data.number[members], data.pixels[members], split)
            for _ in range(THRESHOLDS):
                limits = np.zeros(count, np.float32)
                shuffled = rng.permutation(len(members))
                limits[at[shuffled]] = values[shuffled]  # that of one pixel of the node
                side = values > limits[at]
                variance = _variance(2 * at + side, points, 2 * count).reshape(count, 2).sum(axis=1)
                better = variance < best
                best[better], splits[better], thresholds[better] = variance[better], split, limits[better]
        sizes = np.bincount(at, minlength=count)
        whole = _variance(at, points, count)
        is_split = (sizes >= 2 * protocol.leaf_pixels) & (best < (1 - 1e-6) * whole)
        first = np.where(is_split, total + 2 * (np.cumsum(is_split) - 1), -1)
        tree.splits[-1], tree.thresholds[-1], tree.children[-1] = splits, thresholds, first.astype(np.int32)
        alive[members[~is_split[at]]] = False
        members = members[is_split[at]]
        at = node[members]
        values = responses(data.images, data.depths, data.number[members], data.pixels[members], splits[at])
        numbers[members] = first[at] + (values > thresholds[at])
        node[members] = numbers[members] - total
        added = 2 * int(is_split.sum())
        tree.splits.append(np.zeros((added, 7), np.float32))
        tree.thresholds.append(np.zeros(added, np.float32))
        tree.children.append(np.full(added, -1, np.int32))
        total += added
    return {
        "splits": np.concatenate(tree.splits),
        "thresholds": np.concatenate(tree.thresholds),
        "children": np.concatenate(tree.children),
        "modes": _leaf_modes(numbers, data.points, total),
    }


def joined(trees: Sequence[dict[str, NDArray]]) -> dict[str, NDArray]:
    """Returns the arrays of a forest of trees, whose nodes are numbered one tree after the other."""
    roots = np.cumsum([0, *(len(tree["children"]) for tree in trees[:-1])]).astype(np.int32)
    children = [
        np.where(tree["children"] >= 0, tree["children"] + root, -1).astype(np.int32)
        for tree, root in zip(trees, roots, strict=True)
    ]
    whole = {
        name: np.concatenate([tree[name] for tree in trees]) for name in ("splits", "thresholds", "modes")
    }
    return {**whole, "children": np.concatenate(children), "roots": roots}


def _drawn_split(width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Returns a random comparison, of depths or of colours."""
    offsets = rng.uniform(-LARGEST_OFFSET, LARGEST_OFFSET, 4) * width
    if rng.random() < 0.5:
        offsets[2:] = 0  # with the pixel itself
    return np.array([rng.random() < 0.7, *offsets, *rng.integers(0, 3, 2)], np.float32)


def _variance(group: NDArray[np.intp], points: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """Returns the sums (count,) of squared distances of points (M, 3) from the mean of their group (M,)."""
    sizes = np.maximum(np.bincount(group, minlength=count), 1)
    total = np.asarray(np.bincount(group, (points**2).sum(axis=1), count), np.float64)
    for axis in range(3):
        total = total - np.bincount(group, points[:, axis], count) ** 2 / sizes
    return total


def _leaf_modes(leaf: NDArray[np.intp], points: NDArray[np.float64], count: int) -> NDArray[np.float32]:
    """Returns the modes (count, K, 3) of the points of each leaf, the largest first; NaN where fewer."""
    modes = np.full((count, MODES, 3), np.nan, np.float32)
    order = np.argsort(leaf, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(leaf[order])) + 1):
        rest = points[part[:200]]
        least = max(1.0, LEAST_MODE_SHARE * len(rest))
        for k in range(MODES):
            if len(rest) < least:
                break
            near = ((rest[:, None] - rest) ** 2).sum(axis=2) <= MODE_RADIUS_M**2
            middle = rest[near[near.sum(axis=1).argmax()]].mean(axis=0)
            inside = ((rest - middle) ** 2).sum(axis=1) <= MODE_RADIUS_M**2
            if inside.sum() < least and k:
                break
            modes[leaf[part[0]], k] = rest[inside].mean(axis=0) if inside.any() else middle
            rest = rest[~inside]
    return modes


def _pixels(place: PlaceImages, protocol: ForestProtocol, rng: np.random.Generator) -> Pixels:
    """Returns random pixels of known depth, as many of each image.

    Raises SceneGeoLocError where no image has depth.
    """
    images = place.images
    each = max(1, protocol.pixels_a_tree // len(place.training))
    numbers, pixels, points = [], [], []
    depths = np.asarray(images.depth[place.training], np.float32)
    for i, number in enumerate(place.training):
        rows, columns = np.nonzero(np.isfinite(depths[i]) & (depths[i] > 0))
        chosen = rng.permutation(len(rows))[:each]
        at = np.stack([columns[chosen], rows[chosen]], axis=1)
        local = camera_of(images, int(number)).back_project(at, depths[i][at[:, 1], at[:, 0]])
        numbers.append(np.full(len(at), i, np.intp))
        pixels.append(at)
        points.append(transform(images.T_map_camera[number], local))
    if not sum(map(len, pixels)):
        raise SceneGeoLocError(
            f"{images.made_of}: no image has depth, which a regression forest needs: name a source with "
            "depth or lidar, or another system."
        )
    return Pixels(
        np.asarray(images.images[place.training]),
        depths,
        np.concatenate(numbers),
        np.concatenate(pixels),
        np.concatenate(points),
    )
