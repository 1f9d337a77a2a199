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

"""Index of global descriptors: finds the keyframes that look most like a query (PnlP, eq. 1)."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError, reason_of

_FULL_BYTES = 1 << 16
"""A disk with less room than this is full, where a write failed without a reason."""


class DescriptorIndex:
    """Exact search by cosine similarity over unit descriptors in half precision."""

    def __init__(self, index: faiss.Index) -> None:
        self._index = index

    @classmethod
    def build(cls, descriptors: NDArray[np.float32]) -> DescriptorIndex:
        """Returns the index of unit descriptors (N, D)."""
        return cls.of_blocks([descriptors], descriptors.shape[1])

    @classmethod
    def of_blocks(cls, rows: Iterable[NDArray[np.floating]], size: int) -> DescriptorIndex:
        """Returns the index of unit descriptors that come in blocks (B, D), one after the other.

        Args:
            size: their length D.
        """
        index = faiss.IndexScalarQuantizer(size, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        for block in rows:
            index.add(np.ascontiguousarray(block, np.float32))  # half precision needs no training
        return cls(index)

    @classmethod
    def read(cls, path: Path) -> DescriptorIndex:
        """Reads an index. Raises MapError where the file is not an index."""
        try:
            return cls(faiss.read_index(str(path)))
        except RuntimeError as error:
            raise MapError(f"{path} is not an index of descriptors: build the map again.") from error

    def write(self, path: Path) -> None:
        """Writes the index to a file. Raises MapError where it cannot be written."""
        write_faiss(self._index, path)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def size(self) -> int:
        """Length of a descriptor."""
        return int(self._index.d)

    def descriptor(self, keyframe: int) -> NDArray[np.float32]:
        """Returns the stored descriptor (D,) of a keyframe, to half precision."""
        return np.asarray(self._index.reconstruct(int(keyframe)), np.float32)

    def descriptors(self) -> NDArray[np.float32]:
        """Returns the stored descriptors (N, D), to half precision."""
        return np.asarray(self._index.reconstruct_n(0, len(self)), np.float32)

    def search(
        self, descriptor: NDArray[np.float32], count: int, among: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Returns the keyframes nearest to a descriptor, best first, and their cosine similarities.

        Args:
            descriptor: (D,) of unit length.
            count: number of keyframes to return; all where there are fewer.
            among: restricts the search to these keyframes.
        """
        parameters = None
        if among is not None:
            parameters = faiss.SearchParameters(sel=faiss.IDSelectorBatch(among))  # type: ignore[call-arg]
        similarities, found = self._index.search(descriptor[None], count, params=parameters)
        valid = found[0] >= 0
        return found[0][valid], similarities[0][valid]


def write_faiss(index: faiss.Index, path: Path) -> None:
    """Writes an index of faiss to a file. Raises MapError where it cannot be written."""
    try:
        faiss.write_index(index, str(path))
    except RuntimeError as error:
        # faiss names the line of its source, not the reason.
        is_full = shutil.disk_usage(path.parent).free < _FULL_BYTES
        reason = os.strerror(errno.ENOSPC) if is_full else reason_of(error)
        raise MapError(f"{path} cannot be written ({reason}): make room, or name another folder.") from error
