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

"""Measures an index in a database beside that of faiss: time, memory and disk at several sizes of a map."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.parallel import process_pool
from scene_geo_loc.core.progress import ProgressDisplay, no_display
from scene_geo_loc.mapping.map_info import INDEX, INDEX_DATABASE
from scene_geo_loc.mapping.search.database_index import BLOCK_ROWS, DatabaseIndex
from scene_geo_loc.mapping.search.index import DescriptorIndex
from scene_geo_loc.mapping.search.vector_index import VectorIndex

FAISS, LANCEDB = "faiss", "LanceDB"
RETRIEVED = 20
"""Keyframes that a query asks for."""
AROUND = 400
"""Consecutive keyframes that a query with a prior is restricted to."""
_QUERIES = 30
_STEP, _NOISE = 0.1, 0.5
"""Change from a keyframe to the next, and from a keyframe to a query, as shares of the length."""


@dataclass(frozen=True)
class IndexCosts:
    """Costs of an index.

    Attributes:
        kind: `FAISS` or `LANCEDB`.
        keyframes: number of keyframes.
        build_s: time to write it.
        disk_mb: its size on the disk.
        open_ms: time to open it.
        memory_mb: resident memory that it adds to a process, after the queries.
        query_ms, around_ms: median time of a query, among all keyframes and among `AROUND` of them.
        same: share of the answers of a query that faiss gives as well.
    """

    kind: str
    keyframes: int
    build_s: float
    disk_mb: float
    open_ms: float
    memory_mb: float
    query_ms: float
    around_ms: float
    same: float


def measure_indices(
    counts: Sequence[int], size: int, display: ProgressDisplay = no_display
) -> list[IndexCosts]:
    """Measures both indices at each number of keyframes, each in a process of its own.

    Args:
        counts: numbers of keyframes.
        size: length of a descriptor.
        display: shows progress.
    """
    costs: list[IndexCosts] = []
    jobs = [(kind, count) for count in counts for kind in (FAISS, LANCEDB)]
    with TemporaryDirectory(prefix="index-") as folder, display("measuring", "indices") as on_progress:
        for number, (kind, count) in enumerate(jobs):
            path = Path(folder) / f"{kind}_{count}"
            path.mkdir()
            with process_pool(1, "spawn") as pool:
                build_s = pool.submit(build_index, kind, path, count, size).result()
            with process_pool(1, "spawn") as pool:
                opened = pool.submit(ask_index, kind, path, count, size).result()
            costs.append(IndexCosts(kind, count, build_s, _megabytes(path), *opened))
            on_progress(number + 1, len(jobs))
    return costs


def descriptors_of(count: int, size: int) -> NDArray[np.float32]:
    """Returns unit descriptors (N, D) of a drive: each is similar to the ones before and after it."""
    rng = np.random.default_rng(count)
    rows = np.empty((count, size), np.float32)
    row = rng.normal(size=size)
    for i in range(count):
        row = row / np.linalg.norm(row) + _STEP * rng.normal(size=size) / np.sqrt(size)
        rows[i] = row
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def queries_of(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns queries (Q, D) near some of the rows."""
    rng = np.random.default_rng(0)
    chosen = rows[rng.integers(0, len(rows), _QUERIES)]
    queries = chosen + _NOISE * rng.normal(size=chosen.shape) / np.sqrt(rows.shape[1])
    return (queries / np.linalg.norm(queries, axis=1, keepdims=True)).astype(np.float32)


def build_index(kind: str, path: Path, count: int, size: int) -> float:
    """Writes an index and returns the seconds it took."""
    rows = descriptors_of(count, size)
    begin = time.perf_counter()
    if kind == FAISS:
        DescriptorIndex.build(rows).write(path / INDEX)
    else:
        blocks = (rows[first : first + BLOCK_ROWS] for first in range(0, count, BLOCK_ROWS))
        index = DatabaseIndex.write(str(path / "database"), "map", blocks, size, count)
        (path / INDEX_DATABASE).write_text(index.table.model_dump_json())
    return time.perf_counter() - begin


def ask_index(kind: str, path: Path, count: int, size: int) -> tuple[float, float, float, float, float]:
    """Opens an index, asks it, and returns the last fields of `IndexCosts`."""
    rows = descriptors_of(count, size)
    queries = queries_of(rows)
    expected = [np.argsort(-(rows.astype(np.float16).astype(np.float32) @ query)) for query in queries]
    del rows
    if kind == LANCEDB:
        import lancedb  # noqa: F401  - its import is not part of opening
    before = _resident_mb()
    begin = time.perf_counter()
    index: VectorIndex = (
        DescriptorIndex.read(path / INDEX) if kind == FAISS else DatabaseIndex.open(path / INDEX_DATABASE)
    )
    open_ms = 1e3 * (time.perf_counter() - begin)
    wanted = min(RETRIEVED, count)
    same = [
        len(np.intersect1d(index.search(query, wanted)[0], order[:wanted])) / wanted
        for query, order in zip(queries, expected, strict=True)
    ]
    around = np.arange(count // 2, min(count // 2 + AROUND, count), dtype=np.int64)
    query_ms = _median_ms(lambda query: index.search(query, wanted), queries)
    around_ms = _median_ms(lambda query: index.search(query, wanted, around), queries)
    return open_ms, _resident_mb() - before, query_ms, around_ms, float(np.mean(same))


def _median_ms(ask: Callable[[NDArray[np.float32]], object], queries: NDArray[np.float32]) -> float:
    times = []
    for query in queries:
        begin = time.perf_counter()
        ask(query)
        times.append(1e3 * (time.perf_counter() - begin))
    return float(np.median(times))


def _resident_mb() -> float:
    """Returns the memory of this process that is in the machine's."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
