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
"""Cost of a map against its number of keyframes: opening, search, memory and disk, and what is found.

Each map is measured in a process of its own, which reports its memory: `python -m
scene_geo_loc.benchmarks.speed.city_cost MAP QUERIES`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.benchmarks.speed.city_map import descriptors_of, disk_bytes, positions_of, write_city
from scene_geo_loc.benchmarks.speed.descriptor_model import DescriptorModel
from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress, tracked
from scene_geo_loc.mapping.map_info import MAP_JSON
from scene_geo_loc.mapping.reference_map import ReferenceMap

SIZES = (1_000, 100_000)
"""Keyframes of the maps that are measured if no others are named."""
QUERIES = 250
RETRIEVED = 30
"""Keyframes that a search returns: about as many as the localizer asks for."""
PRIOR_M = 50.0
"""Radius of a search around a pose."""
_WARM_UP = 50


@dataclass(frozen=True)
class CityCost:
    """Cost of the map of a city.

    Attributes:
        keyframes: number of them.
        index: class of the index.
        open_ms: median time of opening the map five times.
        p50_ms, p95_ms: of a search of the whole map.
        cpu_ms: median processor time of such a search, which other work on the machine does not lengthen.
        prior_p50_ms, prior_p95_ms, prior_cpu_ms: of a search within `PRIOR_M` of a pose.
        resident_mb: memory of the process after all searches, libraries included, and before the map was
            opened.
        before_mb: memory of the process before it opened the map.
        disk_mb: files of the map on the disk, without features.
        recall: share of the queries whose best keyframe is that of an exact search, by kind of query.
    """

    keyframes: int
    index: str
    open_ms: float
    p50_ms: float
    p95_ms: float
    cpu_ms: float
    prior_p50_ms: float
    prior_p95_ms: float
    prior_cpu_ms: float
    resident_mb: float
    before_mb: float
    disk_mb: float
    recall: dict[str, float]


def measure_cities(
    source: ReferenceMap,
    map_model: DescriptorModel,
    query_models: dict[str, DescriptorModel],
    sizes: Sequence[int],
    out: Path,
    on_progress: ProgressCallback = ignore_progress,
) -> list[CityCost]:
    """Measures maps of several sizes, and writes `map_size.json`.

    Args:
        source: map whose networks and shapes of features they get.
        map_model: of their descriptors.
        query_models: of the queries, by kind: what changes between two drives.
        sizes: numbers of keyframes.
        out: folder of the maps and the file; a map that is there already is measured as it is.
        on_progress: receives the sizes measured and their number.

    Raises SceneGeoLocError where a map cannot be measured.
    """
    costs = []
    for size in tracked(sizes, len(sizes), on_progress):
        folder = out / f"city_{size}"
        if not (folder / MAP_JSON).exists():
            write_city(source, map_model, size, folder)
        costs.append(_measured(folder, size, query_models))
        write_costs(costs, out / "map_size.json")  # the largest takes the longest by far
    return costs


def _measured(folder: Path, size: int, query_models: dict[str, DescriptorModel]) -> CityCost:
    opened, rng = ReferenceMap.open(folder), np.random.default_rng(1)
    queries, kinds = [], list(query_models)
    chosen = np.sort(rng.choice(size, (len(kinds), QUERIES)), axis=1)
    for rows, model in zip(chosen, query_models.values(), strict=True):
        own = np.stack([opened.index.descriptor(int(row)) for row in rows])
        queries.append(model.queries(own, rng))
    best = _best_similarities(np.concatenate(queries), descriptors_of(folder, size))
    file = folder.with_name(f"{folder.name}_queries.npz")
    np.savez(file, queries=np.concatenate(queries), places=positions_of(chosen.ravel()))
    command = [sys.executable, "-m", "scene_geo_loc.benchmarks.speed.city_cost", str(folder), str(file)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode != 0:
        raise SceneGeoLocError(f"{folder} cannot be measured: {run.stderr.strip().splitlines()[-1:]}")
    values = json.loads(run.stdout)
    # A keyframe that is as similar as the best one, to half precision, is as good.
    found = np.array(values.pop("found")) >= best - 2e-3
    shares = found.reshape(len(kinds), QUERIES).mean(axis=1)
    recall = dict(zip(kinds, shares.tolist(), strict=True))
    return CityCost(keyframes=size, disk_mb=disk_bytes(folder) / 1e6, recall=recall, **values)


def _best_similarities(
    queries: NDArray[np.float32], blocks: Iterable[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Returns the similarity (Q,) of the best keyframe of all for each query (Q, D)."""
    best = np.full(len(queries), -np.inf, np.float32)
    for block in blocks:
        np.maximum(best, (queries @ block.T).max(axis=1), out=best)
    return best


def write_costs(costs: Sequence[CityCost], path: Path) -> None:
    """Writes the costs as JSON."""
    write_aside(path, (json.dumps([asdict(cost) for cost in costs], indent=1) + "\n").encode())


def _resident_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def _times(searches: Sequence[Callable[[], object]], prefix: str) -> dict[str, float]:
    for search in searches[:_WARM_UP]:
        search()
    spent, processor = [], []
    for search in searches:
        begin, begin_cpu = time.perf_counter(), time.process_time()
        search()
        processor.append((time.process_time() - begin_cpu) * 1e3)
        spent.append((time.perf_counter() - begin) * 1e3)
    p50, p95 = np.percentile(spent, [50, 95]).tolist()
    return {f"{prefix}p50_ms": p50, f"{prefix}p95_ms": p95, f"{prefix}cpu_ms": float(np.median(processor))}


def _measure(folder: Path, file: Path) -> dict[str, object]:
    """Returns the costs that are measured in a process of its own."""
    before_mb, spent = _resident_mb(), []
    for _ in range(5):
        begin = time.perf_counter()
        opened = ReferenceMap.open(folder)
        spent.append((time.perf_counter() - begin) * 1e3)
    with np.load(file) as arrays:
        queries, places = arrays["queries"], arrays["places"]
    found = np.zeros(len(queries))

    def search(i: int) -> None:
        keyframes, similarities = opened.index.search(queries[i], RETRIEVED)
        found[i] = similarities[0] if len(similarities) else -1.0
        opened.T_map_camera[keyframes]

    def search_near(i: int) -> None:
        among = opened.within(places[i], PRIOR_M)
        opened.index.search(queries[i], RETRIEVED, among)

    numbers = range(len(queries))
    times = _times([lambda i=i: search(i) for i in numbers], "")  # type: ignore[misc]
    times |= _times([lambda i=i: search_near(i) for i in numbers], "prior_")  # type: ignore[misc]
    return {
        "index": type(opened.index).__name__,
        "open_ms": float(np.median(spent)),
        "resident_mb": _resident_mb(),
        "before_mb": before_mb,
        "found": found.tolist(),
        **times,
    }


if __name__ == "__main__":
    print(json.dumps(_measure(Path(sys.argv[1]), Path(sys.argv[2]))))
