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

"""Describes images by a vocabulary that is read from a file, or fitted to the images in the end."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.visual_words.features import ROW_SHAPE, ImageFeatures, extract
from scene_geo_loc.visual_words.vocabulary import Vocabulary


class VisualWords:
    """Describes images by the visual words in them.

    Attributes:
        vocabulary: the words; None until they are fitted.
    """

    row_shape = ROW_SHAPE
    """Shape of what `features` returns."""

    def __init__(self, vocabulary: Vocabulary | None = None) -> None:
        self.vocabulary = vocabulary

    @property
    def is_fitted(self) -> bool:
        """True if the vocabulary is known, and images can be described."""
        return self.vocabulary is not None

    @property
    def fitted(self) -> Vocabulary:
        """The vocabulary, once it is known."""
        assert self.vocabulary is not None, "fit the vocabulary first"
        return self.vocabulary

    @property
    def size(self) -> int:
        """Length of a descriptor; 0 until the vocabulary is known."""
        return 0 if self.vocabulary is None else self.vocabulary.size

    def features(
        self, image: NDArray[np.uint8], visible: NDArray[np.bool_] | None = None
    ) -> NDArray[np.uint8]:
        """Returns the features (R, 128) of an RGB image (H, W, 3), to fit to and to describe it by later.

        Args:
            image: the image.
            visible: (H, W) mask of the pixels that show something; None: all do.
        """
        return extract(image, visible).row

    def fit(self, rows: Iterable[NDArray[np.uint8]], source: str = "") -> None:
        """Fits the vocabulary to the features (R, 128) of images.

        Raises CheckpointError where these are too few.
        """
        self.vocabulary = Vocabulary.fit([ImageFeatures.of_row(row) for row in rows], source=source)

    def describe(
        self, image: NDArray[np.uint8], visible: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float32]:
        """Returns the descriptor (D,) of an RGB image (H, W, 3): of unit length, or zeros without words."""
        return self.fitted.describe(extract(image, visible))

    def describe_features(self, row: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Returns the descriptor (D,) of an image from its features (R, 128)."""
        return self.fitted.describe(ImageFeatures.of_row(row))

    def save(self, path: Path) -> None:
        """Writes the vocabulary, as `Vocabulary.read` reads it."""
        self.fitted.save(path)
