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

"""Tables of times and memory on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scene_geo_loc.benchmarks.speed.benchmark import SpeedResults


def print_speed(results: SpeedResults, minutes: float) -> None:
    """Prints a table of times, then the speed of building, sizes, and the live node's answers and memory."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from scene_geo_loc.benchmarks.speed.benchmark import LARGE_MAP_KEYFRAMES, QUERIED_MAP_KEYFRAMES, RATE_HZ

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    headings = ("median", "95th percentile", "median in forward passes", "95th percentile in forward passes")
    for heading in headings:
        table.add_column(heading, justify="right")
    rows = {
        f"forward pass, 640x480 ({results.backend})": results.forward,
        **{f"forward pass, 224x224: {name}": times for name, times in results.systems.items()},
        **{f"query: {step}": times for step, times in results.query_steps.items()},
        **{f"query with {matcher} features: total": times for matcher, times in results.matchers.items()},
        f"dense depth from {results.lidar_points / 1e6:.2f} M lidar points, 640x480, one core": results.depth,
        f"live node, image to pose, {QUERIED_MAP_KEYFRAMES} keyframes": results.live_times,
        "live node, second half": results.late_live_times,
        f"opening a map of {LARGE_MAP_KEYFRAMES} keyframes": results.opening,
    }
    for name, times in rows.items():
        ratios = (f"{spent_ms / results.forward.p50_ms:.2f}" for spent_ms in (times.p50_ms, times.p95_ms))
        table.add_row(name, f"{times.p50_ms:.1f} ms", f"{times.p95_ms:.1f} ms", *ratios)
    console = Console(highlight=False)
    console.print(table)
    panoramas, forward_s = results.panoramas, results.forward.p50_ms / 1000
    first_mb, last_mb = results.memory_mb
    for line in (
        f"Map building with lidar: {results.keyframes} keyframes in {results.build_s:.1f} s, "
        f"{results.recorded_s / results.build_s:.1f} times the speed of the recording.",
        f"Map of panoramas, 4096x2048, {panoramas.views} views of 640x480: {1 / panoramas.build_s:.2f} "
        f"panoramas/s, {panoramas.build_s / forward_s:.1f} forward passes each, of which the views take "
        f"{panoramas.views_s / forward_s:.1f}; {panoramas.megabytes:.2f} MB each.",
        *(
            f"Map size per keyframe ({matcher}): {sum(parts.values()) / 1e3:.1f} kB: "
            + ", ".join(f"{part} {size / 1e3:.1f} kB" for part, size in parts.items())
            + "."
            for matcher, parts in results.bytes_per_keyframe.items()
        ),
        f"Live node at {RATE_HZ:g} Hz for {minutes:g} min: poses for {len(results.live.latencies_ms)} of "
        f"{results.live.images} images.",
        f"Resident memory of the node: {first_mb:.0f} MB in the first quarter, {last_mb:.0f} MB in the last.",
        *(f"Not timed: {reason}" for reason in results.not_timed),
    ):
        console.print(line)
