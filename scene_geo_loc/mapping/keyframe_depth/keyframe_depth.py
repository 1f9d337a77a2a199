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

"""Depth of a keyframe: from its depth sensor, the lidar scans around it, or the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.depth.lidar import MAX_DEPTH_M, MapPoints, lidar_depth
from scene_geo_loc.geometry.rolling_shutter import ReadoutMotion
from scene_geo_loc.mapping.settings import DepthSource
from scene_geo_loc.matchers.storage import nearest_pixels
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.extractor import SceneFeatures
from scene_geo_loc.traversals.frame import Frame

MAX_DEPTH_ERROR = 0.25
"""Largest relative error that learned depth may have, by the network's own estimate."""


@dataclass(frozen=True)
class KeyframeDepth:
    """Dense depth of a keyframe's image, in a resolution of its own.

    Attributes:
        source: "sensor", "lidar", "learned" or "none", as the map records it.
        metres: (H, W) float32, NaN where unknown.
        error: (H, W) float32 metres, standard deviations estimated by the network; None where the depth was
            measured, which counts as exact, or the network estimates none.
        visible: mask (H', W') of the pixels that show the scene, in a resolution of its own; None: all do.
    """

    source: str
    metres: NDArray[np.float32]
    error: NDArray[np.float32] | None = None
    visible: NDArray[np.bool_] | None = None

    @property
    def known(self) -> NDArray[np.bool_]:
        """Mask of the pixels with depth that show the scene, (H, W) or of the shape of `visible`."""
        known = np.isfinite(self.metres)
        return known if self.visible is None else self.visible & _resized(known, self.visible)

    def at(
        self, pixels: NDArray[np.float64], size: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns depth (F,) in metres and its relative error (F,) at pixels.

        Pixels that show nothing of the scene have no depth, and an infinite error.

        Args:
            pixels: (F, 2) in the image resized to `size`; NaN has no depth.
            size: width and height (2,).
        """
        x, y = nearest_pixels(pixels, size, self.metres)
        depth = np.where(np.isnan(pixels).any(axis=1), np.float32(np.nan), self.metres[y, x])
        error = np.float32(0) if self.error is None else self.error[y, x]
        relative = np.asarray(error / depth, np.float32)
        if self.visible is not None:
            x, y = nearest_pixels(pixels, size, self.visible)
            is_hidden = ~self.visible[y, x]
            depth[is_hidden], relative[is_hidden] = np.nan, np.inf
        return depth, relative


def measured_depth(
    frame: Frame,
    points: Sequence[MapPoints],
    occluder_m: float,
    size: tuple[int, int],
    pixels: NDArray[np.float64] | None = None,
) -> KeyframeDepth | None:
    """Returns the depth that a sensor measured of a keyframe: its depth image, else the lidar; None without.

    Args:
        points: lidar points around the frame.
        occluder_m: see `scene_geo_loc.depth.lidar.project_depth`.
        size: width and height of the lidar's depth.  That of the network's input is fine enough, and a
            quarter of the work.
        pixels: (F, 2) where the lidar's depth is needed, in the image resized to `size`; None for all.
    """
    if frame.depth is not None:
        return KeyframeDepth("sensor", frame.depth)
    if not points:
        return None
    assert frame.T_map_camera is not None
    image = np.asarray(cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA), np.uint8)
    wanted = None
    if pixels is not None:
        wanted = np.zeros(image.shape[:2], bool)
        x, y = nearest_pixels(pixels, np.array(size), wanted)
        wanted[y, x] = True
    camera = frame.camera.resized(*size)
    metres = lidar_depth(points, frame.T_map_camera, camera, image, occluder_m, wanted, frame.readout_motion)
    return KeyframeDepth("lidar", metres)


def as_at_once(
    frame: Frame,
    motion: ReadoutMotion,
    pixels: NDArray[np.float64],
    size: NDArray[np.int64],
    depth: NDArray[np.float32],
    sigma: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
    """Returns the pixels, depth and relative error of features as if all rows had been exposed at once.

    Features of unknown depth are moved as those of far points; those that leave the image have no depth.

    Args:
        frame: of a rolling shutter.
        motion: of its camera during the image.
        pixels: (F, 2) in the image resized to `size`; NaN has no feature.
        size: width and height (2,).
        depth, sigma: (F,) metres and relative error, see `KeyframeDepth.at`.
    """
    camera = frame.camera.resized(int(size[0]), int(size[1]))
    is_feature = np.isfinite(pixels[:, 0])
    seen, given = pixels[is_feature], depth[is_feature].astype(np.float64)
    points = motion.at_once(camera, seen, given)
    moved, new_depth, new_sigma = pixels.copy(), depth.copy(), sigma.copy()
    moved[is_feature] = camera.project(points)
    new_depth[is_feature] = np.where(np.isfinite(given), points[:, 2], given)
    with np.errstate(invalid="ignore"):
        is_inside = ((moved >= -0.5) & (moved < size - 0.5)).all(axis=1)
    lost = is_feature & ~is_inside
    moved[lost], new_depth[lost], new_sigma[lost] = pixels[lost], np.nan, np.inf
    return moved, new_depth, new_sigma


def choose_depth(
    measured: KeyframeDepth | None, features: SceneFeatures, network: InferenceNetwork, wanted: DepthSource
) -> KeyframeDepth:
    """Returns the depth of a keyframe from the first source that has it: sensor or lidar, then the network.

    Args:
        wanted: the network is asked with "auto", and with "learned" it comes first; "none" wants no depth.
    """
    nothing = KeyframeDepth("none", np.full((1, 1), np.nan, np.float32))
    if wanted == "none":
        return nothing
    learned = reliable_depth(features, network) if wanted in ("auto", "learned") else None
    if wanted == "learned" and learned is not None:
        return learned
    return measured or learned or nothing


def _resized(mask: NDArray[np.bool_], image: NDArray) -> NDArray[np.bool_]:
    """Returns a mask at the nearest pixels of an image (H, W)."""
    size = (image.shape[1], image.shape[0])
    return np.asarray(cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0)


def reliable_depth(features: SceneFeatures, network: InferenceNetwork) -> KeyframeDepth | None:
    """Returns the reliable part of a network's depth; None for a network that infers none.

    Depth at the end of the depth scale, such as the sky's, and depth with a relative error above
    `MAX_DEPTH_ERROR` is unknown.
    """
    if features.depth is None:
        return None
    unknown = features.depth >= 0.95 * min(network.signature.max_depth_m or MAX_DEPTH_M, MAX_DEPTH_M)
    if features.depth_error is not None:
        unknown |= features.depth_error > MAX_DEPTH_ERROR * features.depth
    return KeyframeDepth(
        "learned", np.where(unknown, np.float32(np.nan), features.depth), features.depth_error
    )
