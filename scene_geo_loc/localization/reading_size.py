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

"""Size at which the images of another camera than the map's are read.

Local features look alike where the same thing covers as many pixels.  Images of a wider lens are therefore
read at a larger size, and those of a longer lens at a smaller one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.networks.inference_network import InferenceNetwork

SCALES = np.array([0.6, 0.775, 1.0, 1.4])
"""Sizes that images are read at, by side, in those of the map's; the nearest one is taken.

They are few because the network is prepared for each, and the time grows with their squares.  Lenses of 0.85
to 1.13 times the map's focal length leave the size as it is.  Beyond the last ones features bear the rest: on
a walk indoors, 1.8 localized as many images through a lens of half the focal length as 1.4, and 0.5 fewer
through one of twice the focal length than 0.6.
"""


@dataclass(frozen=True)
class ReadingSize:
    """Size at which a camera's images are read.

    Attributes:
        input_size: width and height of the network's input.
        wider: field of view in that of the map's camera, about: 2 where the lens has half the focal length.
    """

    input_size: tuple[int, int]
    wider: float = 1.0

    def describe(self, camera: Camera, usual: tuple[int, int]) -> str:
        """Returns a sentence on a camera whose images are not read at the usual width and height."""
        is_wider = self.wider >= 1
        seen = f"{self.wider:.1f} times wider" if is_wider else f"{1 / self.wider:.1f} times narrower"
        return (
            f"A camera of {camera.width}x{camera.height} pixels sees {seen} than the map's: its images are "
            f"read at {self.input_size[0]}x{self.input_size[1]} instead of {usual[0]}x{usual[1]}."
        )


def reading_size(camera: Camera, map_cameras: Sequence[Camera], network: InferenceNetwork) -> ReadingSize:
    """Returns the size at which a camera's images are read in a map of some cameras.

    Of the map's cameras, the one with the most similar lens counts.
    """
    usual = network.input_width, network.input_height
    return size_for_lens(camera, map_cameras, usual, network.signature.multiple)


def size_for_lens(
    camera: Camera, map_cameras: Sequence[Camera], usual: tuple[int, int], multiple: int
) -> ReadingSize:
    """Returns the size at which a camera's images are read, for a network of any kind.

    Args:
        camera: of the images.
        map_cameras: of the map; the one with the most similar lens counts.
        usual: width and height of the network's input for images of the map's cameras.
        multiple: of the sides of the input, pixels.
    """
    size = np.array(usual)
    focal = _focal_lengths(camera, size)
    ratios = [_focal_lengths(of_map, size) / focal for of_map in map_cameras]
    ratio = min(ratios, key=lambda ratio: np.abs(np.log(ratio)).sum())
    scale = SCALES[np.abs(np.log(ratio[:, None] / SCALES)).argmin(axis=1)]
    if (scale == 1).all():
        return ReadingSize(usual)
    width, height = (max(2, round(side / multiple)) * multiple for side in (size * scale).tolist())
    return ReadingSize((width, height), float(ratio.prod() ** 0.5))


def _focal_lengths(camera: Camera, size: NDArray[np.int64]) -> NDArray[np.float64]:
    """Returns fx and fy (2,) of a camera whose images are resized to a width and height."""
    resized = camera.resized(int(size[0]), int(size[1]))
    return np.array([resized.fx, resized.fy])


def resized_pixels(
    pixels: NDArray[np.float64], size: tuple[int, int], new: tuple[int, int]
) -> NDArray[np.float64]:
    """Returns pixels (N, 2) of an image of a width and height as pixels of it resized to others."""
    if size == new:
        return pixels
    return np.asarray((pixels + 0.5) * np.array(new) / np.array(size) - 0.5)
