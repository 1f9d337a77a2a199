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

"""A run of the pose benchmark, with a rig compared with its first camera."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from room import Room

from scene_geo_loc.benchmarks.poses.benchmark import Experiment, PoseBenchmarkRun
from scene_geo_loc.benchmarks.poses.errors import Place
from scene_geo_loc.benchmarks.poses.methods import MapConfig
from scene_geo_loc.mapping.settings import BuilderSettings
from scene_geo_loc.networks.runtime.extractor import Extractor
from scene_geo_loc.traversals.frame import Frame, PassOver, PassOverScan, Scan, read_all
from scene_geo_loc.traversals.rig import RigTraversal
from scene_geo_loc.traversals.skipped import Skipped

pytestmark = pytest.mark.slow


@dataclass
class Camera:
    """A camera driven along the room that looks to one side, and is triggered a little late."""

    room: Room
    offset_y: float
    heading_deg: float
    delay_ns: int
    count: int = 8
    name: str = "drive"
    map_frame: str = "map"
    skipped: Skipped = field(default_factory=Skipped)

    def __len__(self) -> int:
        return self.count

    def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
        for i in range(self.count):
            stamp_ns = 10**9 * (i + 1) + self.delay_ns
            x = -4.0 + 0.5 * stamp_ns / 1e9
            yield self.room.frame(x, self.offset_y, self.heading_deg, stamp_ns)

    def scans(self, pass_over: PassOverScan = read_all) -> Iterator[Scan]:
        return iter(())


def rig(room: Room, offset_y: float) -> RigTraversal:
    return RigTraversal([Camera(room, offset_y, 10.0, 0), Camera(room, offset_y, -35.0, 20_000_000)])


def test_a_rig_is_localized_together_and_its_first_camera_alone(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes = []
    extract = Extractor.extract
    monkeypatch.setattr(
        Extractor, "extract", lambda self, *given, **named: passes.append(0) or extract(self, *given, **named)
    )
    experiment = Experiment(
        "morning", rig(room, 0.0), {"evening": rig(room, 0.2)}, BuilderSettings(), Place.INDOORS
    )
    (queries,) = PoseBenchmarkRun(cache=tmp_path, device="cpu").run(experiment)
    assert len(passes) == 2 * 8 + 16  # for maps of sensor and learned depth, and of the queries
    assert queries.queries == 8
    assert queries.methods[0].keyframes == 8  # of each camera's images, half a metre apart, every second one
    by_step = {method.step: method for method in queries.methods if method.depth == "sensor"}
    alone, together = by_step["pooled, refined"], by_step["all cameras together"]
    assert together.localized_share == 1.0
    assert alone.median_m is not None
    assert together.median_m is not None
    assert together.median_m < max(0.1, alone.median_m)
    assert together.median_ms is not None
    assert alone.median_ms is not None
    assert together.median_ms > alone.median_ms  # two images take longer than one of them


def test_a_first_camera_without_poses_is_left_out_and_counted(room: Room) -> None:
    class Blind(Camera):
        def frames(self, pass_over: PassOver = read_all) -> Iterator[Frame]:
            for i, frame in enumerate(super().frames()):
                yield frame if i % 2 else Frame(frame.stamp_ns, frame.image, frame.camera)

    experiment = Experiment(
        "morning",
        Camera(room, 0.0, 10.0, 0),
        {"evening": Blind(room, 0.2, 10.0, 0)},
        BuilderSettings(),
        Place.INDOORS,
    )
    (queries,) = PoseBenchmarkRun(device="cpu").run(experiment)
    assert (queries.queries, queries.without_truth) == (4, 4)


@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [
        ("runs/pnlp_fc/checkpoints/best.safetensors", "pnlp_fc/best"),
        ("street_map/network.safetensors", "street_map/network"),
        ("mine.safetensors", "mine"),
        (None, "package's own"),
    ],
)
def test_a_network_is_called_by_what_tells_it_from_others(checkpoint: str | None, name: str) -> None:
    config = MapConfig.of(Path(checkpoint) if checkpoint else None, None, "network", BuilderSettings())
    assert config.network_name == name
