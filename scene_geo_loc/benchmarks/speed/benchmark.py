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

"""The speed benchmark: builds maps of a simulated drive and times every part of the package."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from scene_geo_loc.benchmarks.speed.measurements import (
    PanoramaCosts,
    Times,
    bytes_a_keyframe,
    enlarge_map,
    time_build,
    time_depth,
    time_forward,
    time_opening,
    time_panoramas,
    time_queries,
    time_systems,
)
from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.core.progress import ProgressDisplay, no_display
from scene_geo_loc.localization.localizer import Localizer
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.matchers import matcher_choices
from scene_geo_loc.ros.harness.load_test import LoadTestResult, run_load_test
from scene_geo_loc.simulation.recordings.drive import DriveSettings, simulate
from scene_geo_loc.simulation.recordings.streetview import simulate_streetview
from scene_geo_loc.simulation.recordings.streetview_plan import StreetviewSettings
from scene_geo_loc.simulation.vehicle.sensors import Rig
from scene_geo_loc.traversals.frame import Frame, Traversal
from scene_geo_loc.traversals.opening import open_traversal

LARGE_MAP_KEYFRAMES = 100_000
QUERIED_MAP_KEYFRAMES = 10_000
PANORAMA_VIEWS = 12
PANORAMAS_M = 70.0
"""Views of a panorama, and length of the street with a panorama every 10 m."""
RATE_HZ = 10.0
"""Rate of the images of the drive, and of those that the live node receives."""
_WARM_UP = 10
"""Number of queries whose time is not counted: the first passes allocate memory."""


@dataclass(frozen=True)
class SpeedResults:
    """Results of the speed benchmark.

    Attributes:
        backend: name of the backend that ran the network.
        forward: forward pass of the network at 640 x 480 pixels.
        systems: forward passes of descriptor systems at 224 x 224 pixels.
        query_steps: steps of a query in a map of `QUERIED_MAP_KEYFRAMES`, and their total.
        matchers: total of a query by the other matchers.
        not_timed: a sentence for each matcher that cannot be used.
        depth: dense depth at 640 x 480 pixels on one core.
        lidar_points: median number of points that a dense depth map was made of.
        opening: opening a map of `LARGE_MAP_KEYFRAMES`.
        build_s, keyframes: duration of the build of a map and its keyframes.
        recorded_s: duration of the recording that the map was built from.
        panoramas: costs of a panorama in a map.
        bytes_per_keyframe: size on disk, by matcher and part.
        live: answers of the node and its memory while it received `RATE_HZ` images a second.
    """

    backend: str
    forward: Times
    systems: dict[str, Times]
    query_steps: dict[str, Times]
    matchers: dict[str, Times]
    not_timed: list[str]
    depth: Times
    lidar_points: int
    opening: Times
    build_s: float
    keyframes: int
    recorded_s: float
    panoramas: PanoramaCosts
    bytes_per_keyframe: dict[str, dict[str, float]]
    live: LoadTestResult

    @property
    def live_times(self) -> Times:
        """Time from an image to its pose in the live node."""
        return Times.of(self.live.latencies_ms)

    @property
    def late_live_times(self) -> Times:
        """Time from an image to its pose in the live node, for the second half of the images."""
        return Times.of(self.live.latencies_ms[len(self.live.latencies_ms) // 2 :])

    @property
    def memory_mb(self) -> tuple[float, float]:
        """Median resident memory of the node in the first and in the last quarter of the time."""
        memory = np.array(self.live.resident_mb)
        quarter = max(1, len(memory) // 4)
        return float(np.median(memory[:quarter])), float(np.median(memory[-quarter:]))


def measure_speed(out: Path, minutes: float, show: ProgressDisplay = no_display) -> SpeedResults:
    """Measures time and memory of the package on this machine.

    Args:
        out: folder for the recording, which is made only once, and for the node's log.
        minutes: duration for which the live node receives images.
        show: displays the progress of the long steps.

    Raises SceneGeoLocError if a file cannot be written, or the node does not start or ends early.
    """
    traversal = _recording(out / "drive", show)
    with TemporaryDirectory(prefix="maps-", dir=out) as folder:
        maps = Path(folder)
        frames = list(traversal.frames())
        with show("building maps", "maps") as on_progress:
            default, choices = BuilderSettings().matcher, matcher_choices()
            total = 2 + len(choices)
            build_s, keyframes = time_build(traversal, maps / "small")
            on_progress(1, total)
            enlarge_map(maps / "small", QUERIED_MAP_KEYFRAMES, maps / "map")
            on_progress(2, total)
            enlarge_map(maps / "small", LARGE_MAP_KEYFRAMES, maps / "large")
            on_progress(3, total)
            opening = time_opening(maps / "large")
            shutil.rmtree(maps / "large")
            sizes = {default: bytes_a_keyframe(maps / "small")}
            matchers: dict[str, Times] = {}
            not_timed: list[str] = []
            for number, matcher in enumerate((name for name in choices if name != default), start=4):
                try:
                    time_build(traversal, maps / matcher, matcher)
                except CheckpointError as missing:
                    not_timed.append(str(missing))
                else:
                    sizes[matcher] = bytes_a_keyframe(maps / matcher)
                    matchers[matcher] = _queries(Localizer(ReferenceMap.open(maps / matcher)), frames)[
                        "total"
                    ]
                on_progress(number, total)
        panoramas = time_panoramas(_panoramas(out / "panoramas", show), maps / "panoramas", PANORAMA_VIEWS)
        localizer = Localizer(ReferenceMap.open(maps / "map"))
        query_steps = _queries(localizer, frames)
        forward = time_forward(localizer.extractor, frames)
        depth, points = time_depth(traversal, frames[10:-20:5])
        with show(f"live at {RATE_HZ:g} Hz", "images") as on_progress:
            live = run_load_test(
                maps / "map", frames[10:-10], RATE_HZ, minutes * 60, out / "node.log", on_progress
            )
    return SpeedResults(
        backend=localizer.extractor.backend_name,
        forward=forward,
        systems=time_systems(),
        query_steps=query_steps,
        matchers=matchers,
        not_timed=not_timed,
        depth=depth,
        lidar_points=points,
        opening=opening,
        build_s=build_s,
        keyframes=keyframes,
        recorded_s=len(frames) / RATE_HZ,
        panoramas=panoramas,
        bytes_per_keyframe=sizes,
        live=live,
    )


def _recording(bag: Path, show: ProgressDisplay) -> Traversal:
    if not bag.exists():
        with show("simulating a drive", "frames") as on_progress:
            simulate(bag, DriveSettings(length=100.0, rig=Rig(pushbroom=None)), on_progress=on_progress)
    return open_traversal(bag)


def _panoramas(folder: Path, show: ProgressDisplay) -> Path:
    """Returns a set of panoramas, which is made only once."""
    if not folder.exists():
        settings = StreetviewSettings(length=PANORAMAS_M, spacing=10.0, side_streets=False)
        with show("taking panoramas", "panoramas") as on_progress:
            simulate_streetview(folder, settings, on_progress=on_progress)
    return folder


def _queries(localizer: Localizer, frames: list[Frame]) -> dict[str, Times]:
    time_queries(localizer, frames[:_WARM_UP])
    return time_queries(localizer, frames)
