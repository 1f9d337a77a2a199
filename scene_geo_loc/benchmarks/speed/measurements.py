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

"""Single measurements of time and size: forward passes, queries, map building, dense depth, opening a map."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.lib import format as npy

from scene_geo_loc.depth.lidar import LidarAccumulator, lidar_depth
from scene_geo_loc.depth.window import SPINNING
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.localization.uncertainty.self_measurement import measure_map
from scene_geo_loc.mapping.builder import BuilderSettings, build_map
from scene_geo_loc.mapping.map_info import CO_SIMILARITY, FileRecord, sha256_of, write_info
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.search.index import DescriptorIndex
from scene_geo_loc.matchers import NETWORK_FEATURES
from scene_geo_loc.networks.default import FITTED_SIZE
from scene_geo_loc.networks.runtime.extractor import Extractor
from scene_geo_loc.traversals.frame import Frame, Traversal
from scene_geo_loc.traversals.opening import open_traversal

SYSTEMS = (
    "rgb_efficientnet_lite0_netvlad",
    "rgbtd_efficientnet_lite0_netvlad",
    "rgb_alexnet_mac",
    "rgb_plus_alexnet_mac",
    "rgbtd_alexnet_mac",
    "hallucination_alexnet_mac",
)
"""The systems of config/training/systems that are timed."""
SYSTEM_INPUT = {"input_width": 224, "input_height": 224}


@dataclass(frozen=True)
class Times:
    """Duration of a repeated step: median and 95th percentile in milliseconds, and number of repetitions."""

    p50_ms: float
    p95_ms: float
    count: int

    @classmethod
    def of(cls, times_ms: list[float]) -> Times:
        """Returns the percentiles of single durations."""
        p50, p95 = np.percentile(times_ms, [50, 95]) if times_ms else (float("nan"), float("nan"))
        return cls(float(p50), float(p95), len(times_ms))


def time_forward(extractor: Extractor, frames: Iterable[Frame]) -> Times:
    """Times the forward pass of the network, from an image to its features."""
    return Times.of([_ms(lambda frame=frame: extractor.extract(frame.image)) for frame in frames])  # type: ignore[misc]


def time_systems(systems: Iterable[str] = SYSTEMS, passes: int = 50) -> dict[str, Times]:
    """Times forward passes of the default network and of descriptor systems on images of `SYSTEM_INPUT`.

    A pass leads from an image to descriptor, local features and the depth that the descriptor needs.
    NetVLAD descriptors are projected to `FITTED_SIZE`. The weights are random: they do not change the time.
    Returns none where torch, which makes the networks, is not installed.
    """
    if find_spec("torch") is None:
        return {}
    from scene_geo_loc.networks.architecture.checkpoint import default_scene_network
    from scene_geo_loc.networks.architecture.export import inference_network
    from scene_geo_loc.networks.architecture.pooling import POOLINGS, NetVLAD
    from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
    from scene_geo_loc.training.common.config import load_system

    configs = {"shipped default": default_scene_network()[0].without_depth().config}
    for name in systems:
        system = load_system(name)
        size = FITTED_SIZE if issubclass(POOLINGS[system.network.pooling], NetVLAD) else None
        configs[f"{system.name}{f', projected to {size}' if size else ''}"] = system.network.model_copy(
            update={"descriptor_size": size}
        )
    shape = (SYSTEM_INPUT["input_height"], SYSTEM_INPUT["input_width"], 3)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    times = {}
    for name, config in configs.items():
        network = SceneNetwork(config.model_copy(update=SYSTEM_INPUT))
        network.fitted.fill_(True)
        extractor = Extractor(inference_network(network))
        spent = [_ms(lambda extractor=extractor: extractor.extract(image)) for _ in range(passes + 10)]  # type: ignore[misc]
        times[name] = Times.of(spent[10:])  # the first passes allocate
    return times


def time_queries(localizer: Localizer, frames: Iterable[Frame]) -> dict[str, Times]:
    """Times the steps of localizing images, and their total."""
    steps: dict[str, list[float]] = {}
    for frame in frames:
        for step, spent in localizer.localize(frame).timings_ms.items():
            steps.setdefault(step, []).append(spent)
    return {step: Times.of(spent) for step, spent in steps.items()}


def time_build(traversal: Traversal, out: Path, matcher: str = NETWORK_FEATURES) -> tuple[float, int]:
    """Returns the seconds that the build of a map takes, and its number of keyframes.

    Raises CheckpointError if the matcher's weights are not installed.
    """
    begin = time.perf_counter()
    built = build_map(traversal, out, BuilderSettings(matcher=matcher), overwrite=True, measure=measure_map)
    return time.perf_counter() - begin, len(built)


@dataclass(frozen=True)
class PanoramaCosts:
    """Time and size of a panorama in a map.

    Attributes:
        panoramas, views: numbers of panoramas that the map was built from, and of views of each.
        views_s: seconds to decode a panorama and to make its views, with their depth.
        build_s: seconds of the build a panorama, the views included.
        megabytes: size on disk a panorama, without the weights of network and matcher.
    """

    panoramas: int
    views: int
    views_s: float
    build_s: float
    megabytes: float


def time_panoramas(folder: Path, out: Path, views: int) -> PanoramaCosts:
    """Times the build of a map from a set of panoramas.

    Args:
        folder: the set.
        out: folder of the map, which is replaced.
        views: number of views of each panorama.
    """
    traversal = open_traversal(folder, views=views)
    count = len(traversal) // views
    begin = time.perf_counter()
    for _ in traversal.frames():
        pass
    views_s = time.perf_counter() - begin
    build_s, keyframes = time_build(traversal, out)
    size = keyframes * sum(bytes_a_keyframe(out).values())
    return PanoramaCosts(count, views, views_s / count, build_s / count, size / count / 1e6)


def time_depth(traversal: Traversal, frames: Iterable[Frame]) -> tuple[Times, int]:
    """Returns the times of dense depth maps on one core, and their median number of lidar points.

    The time covers projection of the points around a frame, removal of hidden points and densification.
    """
    scans = list(traversal.scans())
    spent, counts = [], []
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for frame in frames:
            lidar = LidarAccumulator(SPINNING)
            for scan in scans:
                if scan.stamp_ns <= frame.stamp_ns + round(SPINNING.after_s * 1e9):
                    lidar.add(scan)
            points, T = lidar.points_around(frame.stamp_ns), frame.T_map_camera
            assert T is not None
            counts.append(sum(map(len, points)))
            spent.append(_ms(lambda: lidar_depth(points, T, frame.camera, frame.image)))  # noqa: B023 called at once
    finally:
        cv2.setNumThreads(threads)
    return Times.of(spent), int(np.median(counts))


def time_opening(path: Path, times: int = 5) -> Times:
    """Times the opening of a map; its files may be in the page cache."""
    return Times.of([_ms(lambda: ReferenceMap.open(path)) for _ in range(times)])


PARTS = {
    "local_features.npy": "local features",
    "cells.npy": "local features",
    "coarse_features.npy": "local features",
    "keypoints.npy": "local features",
    "depth.npy": "depth",
    "depth_sigma.npy": "depth",
    "index.faiss": "global descriptor",
    "descriptors.npy": "global descriptor",
    "place_keypoints.npy": "place keypoints",
    "thumbnails.bin": "thumbnail",
    "keyframes.parquet": "pose and name",
}
"""Part of a keyframe that each file of a map holds."""


def bytes_a_keyframe(path: Path) -> dict[str, float]:
    """Returns the bytes on disk per keyframe of a map by part, without the weights of network and matcher."""
    opened = ReferenceMap.open(path)
    sizes = dict.fromkeys(PARTS.values(), 0.0)
    for name, record in opened.info.files.items():
        if name in PARTS:
            sizes[PARTS[name]] += record.bytes / len(opened)
    return sizes


def enlarge_map(source: Path, count: int, out: Path) -> None:
    """Writes a map with `count` keyframes: those of `source`, then keyframes with random descriptors.

    The random keyframes have neither features nor depth and are too dissimilar to be retrieved, so a query
    takes as long as in a real map of that size.  The co-similarity of `source` is left out.
    """
    opened = ReferenceMap.open(source)
    more = count - len(opened)
    if more < 0:
        raise ValueError(f"{source} has more than {count} keyframes")
    out.mkdir(parents=True)
    for name in opened.array_files:
        array = np.load(source / name, mmap_mode="r", allow_pickle=False)
        with (out / name).open("wb") as file:
            header = {"descr": npy.dtype_to_descr(array.dtype), "fortran_order": False}
            npy.write_array_header_1_0(file, {**header, "shape": (count, *array.shape[1:])})
            file.write(array.tobytes())
            if name.startswith("depth"):
                file.write(np.full((more, *array.shape[1:]), np.nan, array.dtype).tobytes())
            else:
                file.truncate(file.tell() + more * array[0].nbytes)  # a sparse file: zeros use no disk space
    descriptors = np.stack([opened.index.descriptor(keyframe) for keyframe in range(len(opened))])
    random = np.random.default_rng(0).normal(size=(more, descriptors.shape[1])).astype(np.float32)
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    DescriptorIndex.build(np.concatenate([descriptors, random])).write(out / "index.faiss")
    table = pq.read_table(source / "keyframes.parquet")
    rows = np.arange(count) % len(table)
    pq.write_table(pa.Table.from_batches(table.take(rows).to_batches()), out / "keyframes.parquet")
    kept = [name for name in opened.info.files if name != CO_SIMILARITY]
    for name in kept:
        if name == "thumbnails.bin" or name.endswith(".safetensors"):
            (out / name).write_bytes((source / name).read_bytes())
    files = {
        name: FileRecord(bytes=(out / name).stat().st_size, sha256=sha256_of(out / name)) for name in kept
    }
    info = opened.info.model_copy(update={"keyframes": count, "files": files})
    write_info(out, info)


def _ms(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1e3
