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

"""Inverted file: the keyframes that show each word, for the search by cosine of sparse descriptors."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import MapError, reason_of
from scene_geo_loc.core.regular_file import regular


class InvertedFile:
    """Exact search by cosine similarity over sparse unit descriptors in half precision.

    A search reads the keyframes of the query's words only, and finds only keyframes that share a word with
    it: an image without words finds none, and a keyframe without words is never found.
    """

    def __init__(
        self,
        count: int,
        starts: NDArray[np.int64],
        keyframes: NDArray[np.uint32],
        weights: NDArray[np.float16],
    ) -> None:
        """Takes the entries of all words, one word after the other.

        Args:
            count: number of keyframes.
            starts: (D + 1,) first entry of each word, and the number of entries.
            keyframes: (E,) keyframe of each entry, ascending within a word.
            weights: (E,) weight of the word in that keyframe.
        """
        self._count, self._starts = count, starts
        self._keyframes, self._weights = keyframes, weights
        self._rows: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    @classmethod
    def build(cls, descriptors: Iterable[NDArray[np.float32]], size: int) -> InvertedFile:
        """Returns the index of unit descriptors or zeros, each (D,), which are taken one at a time.

        Args:
            size: their length D.
        """
        words, weights, lengths = [], [], []
        for descriptor in descriptors:
            shown = np.flatnonzero(descriptor)
            words.append(shown.astype(np.uint32))
            weights.append(descriptor[shown].astype(np.float16))
            lengths.append(len(shown))
        keyframes = np.repeat(np.arange(len(lengths), dtype=np.uint32), lengths)
        all_words = np.concatenate([*words, np.zeros(0, np.uint32)])
        order = np.argsort(all_words, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(all_words, minlength=size))]).astype(np.int64)
        all_weights = np.concatenate([*weights, np.zeros(0, np.float16)])
        return cls(len(lengths), starts, keyframes[order], all_weights[order])

    @classmethod
    def read(cls, path: Path) -> InvertedFile:
        """Reads an index. Raises MapError where the file is damaged or not an index."""
        try:
            with safe_open(regular(path), framework="numpy") as file:
                count = int((file.metadata() or {})["keyframes"])
                starts, keyframes, weights = map(file.get_tensor, ("starts", "keyframes", "weights"))
            _check(count, starts, keyframes, weights)
        except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
            raise MapError(
                f"{path} is not an index of visual words ({reason_of(error)}): build the map again."
            ) from error
        return cls(count, starts, keyframes, weights)

    def write(self, path: Path) -> None:
        """Writes the index to a file."""
        tensors: dict[str, NDArray] = {
            "starts": self._starts,
            "keyframes": self._keyframes,
            "weights": self._weights,
        }
        write_aside(path, save(tensors, {"keyframes": str(self._count)}))

    def __len__(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        """Length of a descriptor: the number of words."""
        return len(self._starts) - 1

    def descriptor(self, keyframe: int) -> NDArray[np.float32]:
        """Returns the stored descriptor (D,) of a keyframe, to half precision."""
        if self._rows is None:
            order = np.argsort(self._keyframes, kind="stable")
            ends = np.cumsum(np.bincount(self._keyframes, minlength=self._count))
            self._rows = order, np.concatenate([[0], ends])
        order, starts = self._rows
        entries = order[starts[keyframe] : starts[keyframe + 1]]
        descriptor = np.zeros(self.size, np.float32)
        descriptor[np.searchsorted(self._starts, entries, side="right") - 1] = self._weights[entries]
        return descriptor

    def search(
        self, descriptor: NDArray[np.float32], count: int, among: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Returns the keyframes nearest to a descriptor, best first, and their cosine similarities.

        Args:
            descriptor: (D,) of unit length, or zeros, for which there is no keyframe.
            count: number of keyframes to return; fewer where fewer share a word with the descriptor.
            among: restricts the search to these keyframes.
        """
        words = np.flatnonzero(descriptor)
        spans = [slice(self._starts[word], self._starts[word + 1]) for word in words]
        keyframes = np.concatenate([*(self._keyframes[span] for span in spans), np.zeros(0, np.uint32)])
        weights = [self._weights[s] * descriptor[w] for w, s in zip(words, spans, strict=True)]
        similarities = np.bincount(
            keyframes, np.concatenate([*weights, np.zeros(0, np.float32)]), minlength=self._count
        )
        if among is not None:
            is_allowed = np.zeros(self._count, bool)
            is_allowed[among] = True
            similarities[~is_allowed] = 0.0
        best = np.flatnonzero(similarities > 0)
        if len(best) > count:
            best = best[np.argpartition(-similarities[best], count - 1)[:count]]
        best = best[np.lexsort((best, -similarities[best]))]
        return best.astype(np.int64), similarities[best].astype(np.float32)


def _check(count: int, starts: NDArray, keyframes: NDArray, weights: NDArray) -> None:
    """Raises ValueError where the arrays of an index contradict each other."""
    kinds = [(starts, np.int64), (keyframes, np.uint32), (weights, np.float16)]
    if any(array.ndim != 1 or array.dtype != kind for array, kind in kinds) or len(starts) == 0:
        raise ValueError("its arrays have other shapes or types")
    ends = [0, len(keyframes)]
    if [starts[0], starts[-1]] != ends or (np.diff(starts) < 0).any() or len(weights) != len(keyframes):
        raise ValueError("its words do not fit its entries")
    if len(keyframes) and keyframes.max() >= count:
        raise ValueError(f"it names keyframe {keyframes.max()} of {count}")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("it has weights that are negative or not finite")
