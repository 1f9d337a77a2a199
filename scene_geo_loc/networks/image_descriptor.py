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

"""Descriptors of images that stand in for the scene network's in retrieval."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


class ImageDescriptor(Protocol):
    """Describes an image by itself: a user's network, or visual words."""

    @property
    def size(self) -> int:
        """Length of a descriptor."""

    def describe(
        self, image: NDArray[np.uint8], visible: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Returns the descriptor (D,) of an RGB image (H, W, 3), of unit length, or zeros.

        Args:
            image: the image; it has no edges around pixels that are not visible.
            visible: (H, W) mask of the pixels that show the scene; None: all do.

        Raises InferenceError where there is none.
        """

    def save(self, path: Path) -> None:
        """Writes the copy that a map keeps."""


@runtime_checkable
class FittedDescriptor(ImageDescriptor, Protocol):
    """Describes images after a fit to some of them, for which it keeps features of each image.

    Attributes:
        row_shape: shape of the features of an image, which are of 8 bits.
    """

    row_shape: tuple[int, ...]

    @property
    def is_fitted(self) -> bool:
        """True if images can be described."""

    def features(
        self, image: NDArray[np.uint8], visible: NDArray[np.bool_] | None = None
    ) -> NDArray[np.uint8]:
        """Returns the features of an image, to fit to and to describe it by; arguments as of `describe`."""

    def fit(self, rows: Iterable[NDArray[np.uint8]], source: str = "") -> None:
        """Fits to the features of images.

        Raises CheckpointError where these are too few.

        Args:
            rows: features of each image.
            source: where the images come from.
        """

    def describe_features(self, row: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns the descriptor (D,) of an image from its features."""
