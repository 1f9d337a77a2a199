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
"""Index of the global descriptors of a large map, on disk: short codes choose, descriptors decide.

The codes are those of an inverted file with product quantization (Jégou et al., "Product quantization for
nearest neighbor search", TPAMI 2011), four bits a part: their sums are looked up in the registers of the
processor, 32 codes at a time (André et al., "Quicker ADC", TPAMI 2021; "fast scan" of faiss), which takes a
sixth of the time of codes of eight bits. Descriptors are grouped around centroids; a search reads the codes
of the groups nearest to the query, and compares the best in full.
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

CODE_PARTS = 64
"""Parts of a code, of four bits each: 32 bytes, 320 MB for ten million keyframes.

Of a million keyframes drawn like those of a simulated street, the codes ranked the one that is best for a
query in other light among the first 15.
"""
LIST_KEYFRAMES = 600
"""Keyframes of a group, about: as many groups as the nearest power of two."""
CODES_READ = 400_000
"""Codes that a search reads, about: the groups nearest to the query with so many keyframes.

What a search misses is in a group that it does not read. Of a million keyframes drawn like those of a
simulated street, 99 % of the queries in other light got the one that is best of all, and with 40,000 codes
85 %, in half the time; in the light of the map all did with either.
"""
COMPARED = 128
"""Keyframes with the best codes that are compared in full, at least."""
COMPARED_A_RESULT = 4
"""Keyframes that are compared in full for each that is asked for, at least."""
EXACT_AMONG = 50_000
"""Most keyframes of a restricted search that are all compared, without codes: 50 MB are read."""

_TRAINED_A_LIST = 20
_TRAINED_CODES = 32_768
_TRAINING_STEPS = 8
"""Keyframes a group and in all that groups and codes are fitted to, and steps of k-means."""
_REGIONS = 3
"""Regions whose groups a descriptor is compared with to find its own."""
_BLOCK_CODES = 32
"""Codes that are compared at a time; a group has a multiple of it, some codes twice."""
_BYTE_CODES_READ = 40_000
"""Codes that a search reads of an older map, whose codes have eight bits a part."""
_BLOCK_ROWS = 20_000
"""Descriptors that are held in memory at a time."""
_FIRST_FAISS = (1, 9)
"""Version of faiss whose search by codes of four bits keeps to the keyframes that it may find."""


class CompressedIndex:
    """Approximate search by cosine similarity over unit descriptors in half precision on the disk.

    Similarities are those of the descriptors, to half precision; only which keyframes are compared is
    approximate.
    """

    def __init__(self, codes: faiss.Index, descriptors: _Rows) -> None:
        """Takes the codes of descriptors, both on the disk. Use `read`."""
        self._owner, self._descriptors = codes, descriptors  # the lists are views of the codes
        self._lists, self._order = _lists_of(codes)
        read = CODES_READ if isinstance(self._lists, faiss.IndexIVFPQFastScan) else _BYTE_CODES_READ
        lists = self._lists.nlist
        self._probed = min(lists, math.ceil(lists * read / max(1, len(self))))
        graph = faiss.downcast_index(self._lists.quantizer)
        if isinstance(graph, faiss.IndexHNSWFlat):  # of an older map
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

        Raises MapError where a file cannot be written, or faiss is too old.
        """
        _check_faiss()
        try:
            write_blocks(file, (count, size), np.float16, (narrowed(block) for block in rows))
            descriptors = np.load(file, mmap_mode="r", allow_pickle=False)
            sample = _sample(descriptors)
            groups = _Groups.fit(sample, _lists(count))
            quantizer = _quantizer(sample)
            group = np.empty(count, np.int64)
            values = np.empty((count, quantizer.code_size), np.uint8)
            for start in range(0, count, _BLOCK_ROWS):
                block = widened(descriptors[start : start + _BLOCK_ROWS])
                group[start : start + _BLOCK_ROWS] = groups.nearest(block)
                values[start : start + _BLOCK_ROWS] = quantizer.encode(block)
            write_faiss(_index(quantizer, groups, group, values), codes)
        except (RuntimeError, OSError, ValueError) as error:
            raise MapError(f"{file} cannot be written ({reason_of(error)}).") from error

    @classmethod
    def read(cls, codes: Path, file: Path) -> CompressedIndex:
        """Opens what `write` wrote. Raises MapError where a file is damaged, or faiss is too old."""
        _check_faiss()
        try:
            index = faiss.read_index(str(codes), faiss.IO_FLAG_MMAP)
            descriptors = _Rows(file)
            if descriptors.shape != (index.ntotal, index.d):
                raise ValueError(f"{file.name} has other rows")
            return cls(index, descriptors)
        except (RuntimeError, OSError, ValueError) as error:
            raise MapError(
                f"{codes} is not an index of descriptors ({reason_of(error)}): build the map again."
            ) from error

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
        wanted = max(COMPARED, COMPARED_A_RESULT * count)
        if wanted > min(len(self), EXACT_AMONG):  # nearly all: the codes would choose nothing
            rows = np.arange(len(self)) if among is None else np.unique(among)
            return self._best(descriptor, rows, count)
        selector = None if among is None else _selector(among, len(self))
        parameters = faiss.SearchParametersIVF(nprobe=self._probed, sel=selector)  # type: ignore[call-arg]
        query = np.ascontiguousarray(descriptor[None], np.float32)
        query = query if self._order is None else self._order.apply(query)
        _, found = self._lists.search(query, 2 * wanted, params=parameters)  # some keyframes come twice
        rows, first = np.unique(found[0], return_index=True)
        rows = rows[np.sort(np.argsort(first)[:wanted])]
        return self._best(descriptor, rows[(rows >= 0) & (rows < len(self))], count)

    def _best(
        self, descriptor: NDArray[np.float32], rows: NDArray[np.int64], count: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Returns the best of some keyframes, ascending, by their descriptors."""
        blocks = [rows[start : start + _BLOCK_ROWS] for start in range(0, len(rows), _BLOCK_ROWS)]
        similarities = np.concatenate(
            [np.zeros(0, np.float32)]
            + [widened(self._descriptors.read(block)) @ descriptor for block in blocks]
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


def widened(rows: NDArray[np.float16]) -> NDArray[np.float32]:
    """Returns rows (N, D) in single precision, ten times as fast as NumPy."""
    half = faiss.ScalarQuantizer(rows.shape[1], faiss.ScalarQuantizer.QT_fp16)
    return np.asarray(half.decode(np.ascontiguousarray(rows).view(np.uint8)))


def narrowed(rows: NDArray[np.floating]) -> NDArray[np.float16]:
    """Returns rows (N, D) in half precision, fifty times as fast as NumPy."""
    if rows.dtype == np.float16:
        return rows
    half = faiss.ScalarQuantizer(rows.shape[1], faiss.ScalarQuantizer.QT_fp16)
    return np.asarray(half.compute_codes(np.ascontiguousarray(rows, np.float32)).view(np.float16))


def _check_faiss() -> None:
    """Raises MapError where faiss is too old."""
    version = tuple(int(number) for number in faiss.__version__.split(".")[:2])
    if version < _FIRST_FAISS:
        oldest = ".".join(map(str, _FIRST_FAISS))
        raise MapError(
            f"faiss {faiss.__version__} cannot search maps of so many keyframes: install {oldest} or later "
            "(`pip install --upgrade faiss-cpu`)."
        )


def _sample(descriptors: NDArray[np.float16]) -> NDArray[np.float32]:
    """Returns descriptors (S, D) that groups and codes are fitted to, in random order."""
    rng, count = np.random.default_rng(0), len(descriptors)
    wanted = max(_TRAINED_CODES, _TRAINED_A_LIST * _lists(count))
    chosen = rng.choice(count, min(count, wanted), replace=False)
    return rng.permutation(widened(descriptors[np.sort(chosen)]))


def _lists(count: int) -> int:
    """Returns the number of groups of a map with a number of keyframes."""
    return 1 << max(0, round(np.log2(max(1, count) / LIST_KEYFRAMES)))


@dataclass(frozen=True)
class _Quantizer:
    """Makes the codes of descriptors.

    Attributes:
        order: brings numbers of large and small variance into each part: four bits tell little of a part that
            has most of the variance. With it the error of a code was a third less.
        product: product quantizer of what `order` returns.
    """

    order: faiss.RemapDimensionsTransform
    product: faiss.ProductQuantizer

    @property
    def code_size(self) -> int:
        """Bytes of a code."""
        return int(self.product.code_size)

    def encode(self, rows: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Returns the codes (N, C) of descriptors (N, D)."""
        return np.asarray(self.product.compute_codes(self.order.apply(rows)))


def _quantizer(sample: NDArray[np.float32]) -> _Quantizer:
    """Returns the quantizer that is fitted to a sample (S, D) of descriptors."""
    size = sample.shape[1]
    numbers = -(-size // CODE_PARTS)
    rows = np.full((numbers, CODE_PARTS), -1, np.int32)  # -1: always 0
    rows.ravel()[:size] = np.argsort(-sample.var(axis=0), kind="stable")
    rows[1::2] = rows[1::2, ::-1]
    order = faiss.RemapDimensionsTransform(size, rows.size, False)  # type: ignore[arg-type]
    faiss.copy_array_to_vector(rows.T.ravel(), order.map)
    product = faiss.ProductQuantizer(rows.size, CODE_PARTS, 4)
    product.cp.niter, product.cp.min_points_per_centroid = _TRAINING_STEPS, 1
    chosen = sample[:_TRAINED_CODES]
    product.train(order.apply(np.resize(chosen, (max(len(chosen), 1 << 4), size))))  # one for each value
    return _Quantizer(order, product)


def _index(
    quantizer: _Quantizer, groups: _Groups, group: NDArray[np.int64], values: NDArray[np.uint8]
) -> faiss.IndexPreTransform:
    """Returns the index of codes (N, C) in groups (N,)."""
    order, product = quantizer.order, quantizer.product
    coarse = faiss.IndexScalarQuantizer(
        order.d_out, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    )
    coarse.add(order.apply(groups.centroids))
    index = faiss.IndexIVFPQ(
        coarse, order.d_out, coarse.ntotal, product.M, product.nbits, faiss.METRIC_INNER_PRODUCT
    )
    faiss.copy_array_to_vector(faiss.vector_to_array(product.centroids), index.pq.centroids)
    index.is_trained = True
    lists = faiss.ArrayInvertedLists(coarse.ntotal, quantizer.code_size)
    packer = _fast_scan(index).get_CodePacker()
    keyframes = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group, minlength=coarse.ntotal))
    for number, chosen in enumerate(np.split(keyframes, ends[:-1])):
        if len(chosen) == 0:
            continue
        padded = np.resize(chosen, -(-len(chosen) // _BLOCK_CODES) * _BLOCK_CODES)
        codes = values[padded]
        packed = np.empty_like(codes)
        for start in range(0, len(padded), _BLOCK_CODES):
            packer.pack_all(faiss.swig_ptr(codes[start:]), faiss.swig_ptr(packed[start:]))
        lists.add_entries(number, len(padded), faiss.swig_ptr(padded), faiss.swig_ptr(packed))
    lists.this.disown()  # type: ignore[attr-defined]  # the index frees them
    index.replace_invlists(lists, True)
    index.ntotal = len(group)
    return faiss.IndexPreTransform(order, index)


def _fits(order: faiss.VectorTransform, lists: faiss.IndexIVF) -> bool:
    if not isinstance(order, faiss.RemapDimensionsTransform):
        return False
    numbers, coarse = faiss.vector_to_array(order.map), lists.quantizer
    are_groups = (coarse.d, coarse.ntotal, coarse.metric_type) == (lists.d, lists.nlist, lists.metric_type)
    is_order = len(numbers) == order.d_out == lists.d and bool((numbers < order.d_in).all())
    is_trained = bool(coarse.is_trained and lists.is_trained)
    return are_groups and is_order and is_trained and lists.metric_type == faiss.METRIC_INNER_PRODUCT


def _fast_scan(lists: faiss.IndexIVFPQ) -> faiss.IndexIVFPQFastScan:
    """Returns what searches the lists of an index, which it shares.

    faiss maps a file of such lists into memory only as those of the slower search.
    """
    product = lists.pq
    fast = faiss.IndexIVFPQFastScan(
        lists.quantizer, lists.d, lists.nlist, product.M, product.nbits, lists.metric_type, _BLOCK_CODES
    )
    faiss.copy_array_to_vector(faiss.vector_to_array(product.centroids), fast.pq.centroids)
    fast.is_trained, fast.ntotal = True, lists.ntotal
    if lists.invlists is not None:
        fast.replace_invlists(lists.invlists, False)
    return fast


def _lists_of(index: faiss.Index) -> tuple[faiss.IndexIVF, faiss.VectorTransform | None]:
    """Returns the inverted lists of an index that was read, and what comes before; None in an older map.

    Raises ValueError where the index is of another kind.
    """
    order, lists = None, faiss.downcast_index(index)
    if isinstance(lists, faiss.IndexPreTransform) and lists.chain.size() == 1:  # type: ignore[attr-defined]
        order = faiss.downcast_VectorTransform(lists.chain.at(0))  # type: ignore[attr-defined]
        lists = faiss.downcast_index(lists.index)
    if type(lists) is not faiss.IndexIVFPQ:
        raise ValueError(f"it is an index of the type {type(lists).__name__}")
    if order is not None and not _fits(order, lists):
        raise ValueError("its parts do not fit together")
    assert lists.invlists is not None
    stored = faiss.downcast_InvertedLists(lists.invlists)
    if isinstance(stored, faiss.OnDiskInvertedLists):
        stored.prefetch_nthread = 0  # threads that read ahead cost more than they save
    return lists if order is None else _fast_scan(lists), order


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
