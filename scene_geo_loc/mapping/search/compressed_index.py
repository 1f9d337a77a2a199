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
"""Index of the global descriptors of a large map, on disk: codes of a few bytes choose, descriptors decide.

The codes are those of an inverted file with product quantization (Jégou et al., "Product quantization for
nearest neighbor search", TPAMI 2011): descriptors are grouped around centroids, and a code tells the
difference to the centroid. A search reads the codes of the groups nearest to the query, and compares the best
in full.
Codes and descriptors stay on the disk, and the system keeps in memory what is read.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import MapError, reason_of
from scene_geo_loc.core.growing_array import write_blocks
from scene_geo_loc.mapping.search.index import write_faiss

CODE_BYTES = 64
"""Bytes of a code, fewer for short descriptors: 640 MB for ten million keyframes."""
LISTS_A_ROOT = 2.5
"""Groups of a map, as a multiple of the square root of its number of keyframes, rounded to a power of two."""
CODES_READ = 40_000
"""Codes that a search reads, about: the groups nearest to the query with so many keyframes.

In a city of a million keyframes drawn like those of a simulated street, 99 % of the queries in the light of
the map then got the keyframe that is best of all, and 88 % of those in other light; with 15,000 codes it was
96 % and 75 %, and with 100,000, in twice the time, 100 % and 94 %.
"""
COMPARED = 256
"""Keyframes with the best codes that are compared in full, at least."""
COMPARED_A_RESULT = 4
"""Keyframes that are compared in full for each that is asked for, at least."""
EXACT_AMONG = 50_000
"""Most keyframes of a restricted search that are all compared, without codes: 50 MB are read."""

_TRAINED_A_LIST = 20
_TRAINED_CODES = 16_384
_TRAINING_STEPS = 8
"""Keyframes a group and in all that groups and codes are fitted to, and steps of k-means."""
_REGIONS = 2
"""Regions whose groups a descriptor is compared with to find its own."""
_LINKS = 32
"""Links of a centroid in the graph that the groups nearest to a query are found by."""
_BLOCK_ROWS = 20_000
"""Descriptors that are held in memory at a time."""


class CompressedIndex:
    """Approximate search by cosine similarity over unit descriptors in half precision on the disk.

    Similarities are those of the descriptors, to half precision; only which keyframes are compared is
    approximate.
    """

    def __init__(self, codes: faiss.IndexIVFPQ, descriptors: _Rows) -> None:
        """Takes the codes of descriptors, both on the disk. Use `read`."""
        self._codes, self._descriptors = codes, descriptors
        self._owner: faiss.Index = codes  # keeps the memory of `codes`, another view of it
        share = CODES_READ / max(1, codes.ntotal)
        self._probed = min(codes.nlist, math.ceil(codes.nlist * share))
        graph = faiss.downcast_index(codes.quantizer)
        if isinstance(graph, faiss.IndexHNSWFlat):
            graph.hnsw.efSearch = 2 * self._probed

    @classmethod
    def write(
        cls, rows: Iterable[NDArray[np.floating]], size: int, count: int, codes: Path, file: Path
    ) -> None:
        """Writes the descriptors of a map and their codes.

        Args:
            rows: unit descriptors in blocks (B, D), one after the other.
            size: their length D.
            count: number of descriptors.
            codes: file of the codes.
            file: .npy file of the descriptors (N, D) float16.

        Raises MapError where a file cannot be written.
        """
        try:
            write_blocks(file, (count, size), np.float16, rows)
            descriptors = np.load(file, mmap_mode="r", allow_pickle=False)
            sample = _sample(descriptors)
            groups = _Groups.fit(sample, _lists(count))
            index = _trained(sample, groups)
            for start in range(0, count, _BLOCK_ROWS):
                block = np.asarray(descriptors[start : start + _BLOCK_ROWS], np.float32)
                group = groups.nearest(block)
                index.add_core(len(block), faiss.swig_ptr(block), None, faiss.swig_ptr(group))
            write_faiss(index, codes)
        except (RuntimeError, OSError, ValueError) as error:
            raise MapError(f"{file} cannot be written ({reason_of(error)}).") from error

    @classmethod
    def read(cls, codes: Path, file: Path) -> CompressedIndex:
        """Opens what `write` wrote. Raises MapError where a file is damaged."""
        try:
            owner = faiss.read_index(str(codes), faiss.IO_FLAG_MMAP)
            index = faiss.downcast_index(owner)
            if not isinstance(index, faiss.IndexIVFPQ):
                raise ValueError(f"it is an index of the type {type(index).__name__}")
            descriptors = _Rows(file)
            if descriptors.shape != (index.ntotal, index.d):
                raise ValueError(f"{file.name} has other rows")
        except (RuntimeError, OSError, ValueError) as error:
            raise MapError(
                f"{codes} is not an index of descriptors ({reason_of(error)}): build the map again."
            ) from error
        assert index.invlists is not None
        lists = faiss.downcast_InvertedLists(index.invlists)
        if isinstance(lists, faiss.OnDiskInvertedLists):
            lists.prefetch_nthread = 0  # threads that read ahead cost more than they save
        opened = cls(index, descriptors)
        opened._owner = owner
        return opened

    def __len__(self) -> int:
        return self._descriptors.shape[0]

    @property
    def size(self) -> int:
        """Length of a descriptor."""
        return int(self._descriptors.shape[1])

    def descriptor(self, keyframe: int) -> NDArray[np.float32]:
        """Returns the stored descriptor (D,) of a keyframe, to half precision."""
        return self._descriptors.read(np.array([keyframe]))[0].astype(np.float32)

    def search(
        self, descriptor: NDArray[np.float32], count: int, among: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """See `VectorIndex.search`; a restricted search among at most `EXACT_AMONG` keyframes is exact."""
        if among is not None and len(among) <= EXACT_AMONG:
            return self._best(descriptor, np.unique(among), count)
        selector = None if among is None else _selector(among, len(self))
        wanted = min(max(COMPARED, COMPARED_A_RESULT * count), len(self))
        if wanted > EXACT_AMONG:  # nearly all: the codes would choose nothing
            rows = np.arange(len(self)) if among is None else np.unique(among)
            return self._best(descriptor, rows, count)
        parameters = faiss.SearchParametersIVF(nprobe=self._probed, sel=selector)  # type: ignore[call-arg]
        _, found = self._codes.search(descriptor[None], wanted, params=parameters)
        return self._best(descriptor, np.sort(found[0][found[0] >= 0]), count)

    def _best(
        self, descriptor: NDArray[np.float32], rows: NDArray[np.int64], count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Returns the best of some keyframes, ascending, by their descriptors."""
        blocks = [rows[start : start + _BLOCK_ROWS] for start in range(0, len(rows), _BLOCK_ROWS)]
        similarities = np.concatenate(
            [np.zeros(0, np.float32)]
            + [self._descriptors.read(block).astype(np.float32) @ descriptor for block in blocks]
        )
        best = np.argsort(-similarities, kind="stable")[:count]
        return rows[best], similarities[best]


class _Rows:
    """Rows (N, D) float16 of a .npy file, of which some are read at a time.

    Mapped into memory, each row would count as 64 kB of the process, as the system maps what is around it.

    Attributes:
        shape: (N, D).
    """

    def __init__(self, file: Path) -> None:
        """Opens the file. Raises ValueError where it is of another kind."""
        mapped = np.load(file, mmap_mode="r", allow_pickle=False)
        if mapped.dtype != np.float16 or mapped.ndim != 2:
            raise ValueError(f"{file.name} has rows of another kind")
        self.shape, self._offset = mapped.shape, mapped.offset
        self._file = file.open("rb", buffering=0)

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """Returns rows (K, D); consecutive ones are read at once. Raises OSError where they are not there."""
        out = np.empty((len(rows), self.shape[1]), np.float16)
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        starts, ends = [0, *breaks.tolist()], [*breaks.tolist(), len(rows)]
        bytes_a_row, descriptor = 2 * self.shape[1], self._file.fileno()
        data = memoryview(out).cast("B")  # type: ignore[arg-type]
        for start, end in zip(starts, ends, strict=True) if len(rows) else ():
            part = data[start * bytes_a_row : end * bytes_a_row]
            at = self._offset + int(rows[start]) * bytes_a_row
            if os.preadv(descriptor, [part], at) != len(part):
                raise OSError(f"{self._file.name} ends before keyframe {int(rows[end - 1])}")
        return out


def _sample(descriptors: NDArray[np.float16]) -> NDArray[np.float32]:
    """Returns descriptors (S, D) that groups and codes are fitted to, in random order."""
    rng, count = np.random.default_rng(0), len(descriptors)
    chosen = rng.choice(count, min(count, _TRAINED_A_LIST * _lists(count)), replace=False)
    return rng.permutation(np.asarray(descriptors[np.sort(chosen)], np.float32))


def _lists(count: int) -> int:
    """Returns the number of groups of a map with a number of keyframes."""
    return 1 << round(np.log2(LISTS_A_ROOT * count**0.5))


def _trained(sample: NDArray[np.float32], groups: _Groups) -> faiss.IndexIVFPQ:
    """Returns an empty index that is fitted to a sample (S, D) of descriptors."""
    size = sample.shape[1]
    graph = faiss.IndexHNSWFlat(size, _LINKS, faiss.METRIC_INNER_PRODUCT)
    graph.add(groups.centroids)
    code_bytes = next(n for n in range(min(CODE_BYTES, size), 0, -1) if size % n == 0)
    lists = len(groups.centroids)
    index = faiss.IndexIVFPQ(graph, size, lists, code_bytes, 8, faiss.METRIC_INNER_PRODUCT)
    index.quantizer_trains_alone = 2  # type: ignore[assignment]  # they are trained
    index.pq.cp.niter, index.pq.cp.min_points_per_centroid = _TRAINING_STEPS, 1
    chosen = sample[:_TRAINED_CODES]
    index.train(np.resize(chosen, (max(len(chosen), 1 << 8), size)))  # at least one for each value of a byte
    return index


@dataclass(frozen=True)
class _Groups:
    """Centroids of groups, and these in groups of their own.

    Without these two levels every descriptor would be compared with the square root as many centroids.

    Attributes:
        regions: (R, D) centroids of the centroids.
        centroids: (G, D) of unit length, those of one region after the other.
        starts: (R + 1,) first centroid of each region, and their number.
    """

    regions: NDArray[np.float32]
    centroids: NDArray[np.float32]
    starts: NDArray[np.int64]

    @classmethod
    def fit(cls, sample: NDArray[np.float32], count: int) -> _Groups:
        """Fits a number of groups to a sample (S, D)."""

        def fit(rows: NDArray[np.float32], centroids: int) -> tuple[faiss.Kmeans, NDArray[np.float32]]:
            settings = {"spherical": True, "min_points_per_centroid": 1, "max_points_per_centroid": 1 << 12}
            kmeans = faiss.Kmeans(rows.shape[1], centroids, niter=_TRAINING_STEPS, **settings)
            kmeans.train(rows)
            return kmeans, np.asarray(kmeans.centroids)

        kmeans, regions = fit(sample, round(count**0.5))
        _, region = kmeans.assign(sample)
        order = np.argsort(region, kind="stable")
        ends = np.cumsum(np.bincount(region, minlength=len(regions)))
        starts = np.append(0, ends * count // len(sample))  # a region's share of them is that of the sample
        parts = np.split(sample[order], ends[:-1])
        shares = np.diff(starts).tolist()
        centroids = [fit(rows, share)[1] for rows, share in zip(parts, shares, strict=True) if share]
        return cls(regions, np.concatenate(centroids), starts)

    def nearest(self, rows: NDArray[np.float32]) -> NDArray[np.int64]:
        """Returns the nearest centroid (N,) of each row (N, D), among those of the nearest regions."""
        near = np.argpartition(rows @ -self.regions.T, min(_REGIONS, len(self.regions) - 1), axis=1)
        region = near[:, :_REGIONS].ravel()
        row = np.repeat(np.arange(len(rows)), near[:, :_REGIONS].shape[1])
        order = np.argsort(region, kind="stable")
        ends = np.searchsorted(region[order], np.arange(len(self.regions) + 1))
        best, nearest = np.full(len(rows), -np.inf, np.float32), np.zeros(len(rows), np.int64)
        for number, start in enumerate(self.starts[:-1]):
            chosen = row[order[ends[number] : ends[number + 1]]]
            if len(chosen) == 0 or start == self.starts[number + 1]:
                continue
            cosines = rows[chosen] @ self.centroids[start : self.starts[number + 1]].T
            first = cosines.argmax(axis=1)
            cosine = cosines[np.arange(len(chosen)), first]
            is_better = cosine > best[chosen]
            best[chosen[is_better]] = cosine[is_better]
            nearest[chosen[is_better]] = start + first[is_better]
        return nearest


def _selector(keyframes: NDArray[np.int64], count: int) -> faiss.IDSelector:
    is_chosen = np.zeros(count, bool)
    is_chosen[keyframes] = True
    bits = np.packbits(is_chosen, bitorder="little")
    return faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]
