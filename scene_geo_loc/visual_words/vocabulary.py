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

"""The vocabulary: words of points and of regions with their weights, and its file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import CheckpointError, reason_of
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.core.versioned import FileFormat
from scene_geo_loc.visual_words.features import LENGTH, ImageFeatures
from scene_geo_loc.visual_words.sizes import POINT_WORDS, REGION_WORDS
from scene_geo_loc.visual_words.words import Words

POINTS_SHARE = 0.9
"""Share of the points' bag in the similarity of two images that show points and regions.

Among the views of 28 simulated panoramas the best was right (within 25 m and 30°) for 73 % of 37 images in
sun and 74 % of 38 in snow; with points alone for 68 and 66 %, with a share of 0.7 for 68 and 61 %, with
regions alone for 8 and 18 %.
"""
FORMAT = FileFormat("scene_geo_loc vocabulary", 1, again="make the vocabulary again", error=CheckpointError)
METADATA_KEY = "scene_geo_loc_vocabulary"
_KINDS = ("points", "regions")
_MOST_WORDS = 1 << 20
"""A file with more words of a kind is damaged."""


@dataclass(frozen=True)
class Vocabulary:
    """Words of points and regions.

    Attributes:
        points, regions: the words.
        point_idf, region_idf: (K,) float32 inverse document frequencies of the words: the logarithm of the
            number of images over the number of those that show the word, 0 for a word in all of them.
        images: number of images that the vocabulary was fitted to.
        source: where these came from.
        points_share: share of the points' bag in the similarity, 0 to 1.
    """

    points: Words
    regions: Words
    point_idf: NDArray[np.float32]
    region_idf: NDArray[np.float32]
    images: int
    source: str = ""
    points_share: float = POINTS_SHARE

    @classmethod
    def fit(
        cls,
        images: Sequence[ImageFeatures],
        point_words: int = POINT_WORDS,
        region_words: int = REGION_WORDS,
        source: str = "",
    ) -> Vocabulary:
        """Returns the vocabulary of images of places.

        Args:
            images: features of each image.
            point_words, region_words: most words of each kind; there are fewer where the images show few
                features, see `Words.fit`.
            source: where the images come from.

        Raises CheckpointError where there are fewer than two images, or too few features for a word.
        """
        if len(images) < 2:
            raise CheckpointError(
                f"A vocabulary is fitted to at least 2 images and there are {len(images)}, whose words tell "
                "nothing apart: give more images, or a vocabulary that was fitted elsewhere."
            )
        points = Words.fit(np.concatenate([image.points for image in images]), point_words)
        regions = Words.fit(np.concatenate([image.regions for image in images]), region_words)
        if len(points) == 0:
            count = sum(len(image.points) for image in images)
            raise CheckpointError(
                f"The {len(images)} images show {count} points, too few for a vocabulary: give images with "
                "texture, or a vocabulary that was fitted elsewhere."
            )
        return cls(
            points,
            regions,
            inverse_document_frequency([points.counts(image.points) for image in images]),
            inverse_document_frequency([regions.counts(image.regions) for image in images]),
            len(images),
            source,
        )

    @property
    def size(self) -> int:
        """Length of a description: the number of words of both kinds."""
        return len(self.points) + len(self.regions)

    def describe(self, features: ImageFeatures) -> NDArray[np.float32]:
        """Returns the weighted words (D,) of an image, of unit length.

        Zeros where it shows no word that tells anything; nothing is similar to such an image.
        """
        bags = (
            np.sqrt(share) * unit(tf_idf(words.counts(histograms), idf))
            for share, words, histograms, idf in (
                (self.points_share, self.points, features.points, self.point_idf),
                (1 - self.points_share, self.regions, features.regions, self.region_idf),
            )
        )
        return unit(np.concatenate(list(bags))).astype(np.float32)

    def _tensors(self) -> dict[str, NDArray]:
        return {
            "points.words": self.points.centres,
            "points.idf": self.point_idf,
            "regions.words": self.regions.centres,
            "regions.idf": self.region_idf,
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256 of words and weights: equal for vocabularies that describe images equally."""
        total = hashlib.sha256(repr(self.points_share).encode())
        for name, tensor in self._tensors().items():
            total.update(f"{name} {tensor.shape} {tensor.dtype}".encode())
            total.update(np.ascontiguousarray(tensor).tobytes())
        return total.hexdigest()

    def save(self, path: Path) -> None:
        """Writes the file."""
        values: dict[str, Any] = {**FORMAT.header, "images": self.images, "source": self.source}
        values["points_share"] = self.points_share
        tensors = {name: np.ascontiguousarray(tensor) for name, tensor in self._tensors().items()}
        write_aside(path, save(tensors, {METADATA_KEY: json.dumps(values)}))

    @classmethod
    def read(cls, path: Path) -> Vocabulary:
        """Reads a file. Raises CheckpointError where it is missing, damaged or of another kind."""
        try:
            with safe_open(regular(path), framework="numpy") as file:
                values = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
                FORMAT.check(values, path)
                images, source = values["images"], str(values["source"])
                if not isinstance(images, int) or images < 1:
                    raise ValueError(f"it was fitted to {images} images")
                share = float(values["points_share"])
                if not 0 <= share <= 1:
                    raise ValueError(f"the share of its points is {share}")
                words, idf = {}, {}
                for kind in _KINDS:
                    centres = file.get_tensor(f"{kind}.words")
                    weights = file.get_tensor(f"{kind}.idf")
                    _check(kind, centres, weights)
                    words[kind], idf[kind] = Words(centres), weights
            if len(words["points"]) == 0:
                raise ValueError("it has no words")
        except FileNotFoundError as error:
            raise CheckpointError(f"There is no vocabulary at {path}: name an existing file.") from error
        except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
            raise CheckpointError(
                f"{path} holds no vocabulary ({reason_of(error)}): {FORMAT.again}, or name another."
            ) from error
        return cls(words["points"], words["regions"], idf["points"], idf["regions"], images, source, share)

    def __str__(self) -> str:
        return (
            f"{len(self.points)} words of points and {len(self.regions)} of regions of {self.images} images"
        )


def inverse_document_frequency(counts: Sequence[NDArray[np.int64]]) -> NDArray[np.float32]:
    """Returns the weight (K,) of each word from its counts (K,) in each of the images.

    A word that no image shows has the weight of one that one image shows.
    """
    shown = sum((image > 0).astype(np.int64) for image in counts)
    return np.log(len(counts) / np.maximum(shown, 1)).astype(np.float32)


def tf_idf(counts: NDArray[np.int64], idf: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns the weighted words (K,) of an image that shows each so many times (K,)."""
    return np.asarray(counts / max(1, counts.sum()) * idf, np.float64)


def unit(vector: NDArray[np.floating]) -> NDArray[np.floating]:
    """Returns a vector of unit length; zeros stay zeros."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector


def _check(kind: str, centres: NDArray, weights: NDArray) -> None:
    """Raises ValueError where the tensors of a kind of words cannot be right."""
    shape = centres.shape
    if len(shape) != 2 or shape[1] != LENGTH or centres.dtype != np.float16 or shape[0] > _MOST_WORDS:
        raise ValueError(f"its words of {kind} have the shape {shape} of {centres.dtype}")
    if weights.shape != shape[:1] or weights.dtype != np.float32:
        raise ValueError(f"its weights of {kind} have the shape {weights.shape} of {weights.dtype}")
    if not (np.isfinite(centres).all() and np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError(f"its words of {kind} have numbers that are negative or not finite")
