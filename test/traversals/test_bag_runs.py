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

"""Bags whose clock jumps back: several runs in one recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drive import CAMERA, PERIOD_NS, START_NS, T_BASE_CAMERA, base_at, picture, stamp

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.opening import open_traversal
from scene_geo_loc.traversals.rosbag.traversal import RosbagTraversal
from scene_geo_loc.traversals.rosbag.writer import BagWriter

FRAME = "camera_optical_frame"


class Recorder(BagWriter):
    """A bag whose messages are recorded one after the other, whatever their stamps."""

    _recorded = 0

    def _write(self, topic: str, stamp_ns: int, kind: str, **fields: object) -> None:
        self._recorded += 1
        now = START_NS + self._recorded * PERIOD_NS // 10
        super()._write(topic, now, kind, **fields)


def write_runs(path: Path, lengths: tuple[int, ...], *, tf: bool = False) -> Path:
    """Writes runs of some images each; those of the second and later are elsewhere."""
    with Recorder(path) as bag:
        bag.static_transforms(stamp(0), {("base_link", FRAME): T_BASE_CAMERA})
        for number, length in enumerate(lengths):
            for i in range(length):
                base = base_at(i + 100 * number)
                if tf:
                    bag.transform(stamp(i), "map", "base_link", base)
                else:
                    bag.pose("/pose", stamp(i), "map", base)
                bag.camera_info("/camera/camera_info", stamp(i), FRAME, CAMERA)
                bag.image("/camera/image_raw", stamp(i), FRAME, picture(i + 100 * number))
                bag.points("/points", stamp(i), "base_link", np.ones((4, 3)), time_offset_s=np.zeros(4))
    return path


@pytest.mark.parametrize("tf", [False, True])
@pytest.mark.parametrize(("run", "taken"), [(None, 2), (1, 1), (2, 2), (3, 3)])
def test_each_run_has_its_own_images_poses_and_scans(
    tmp_path: Path, run: int | None, taken: int, tf: bool
) -> None:
    path = write_runs(tmp_path / "bag", (14, 16, 13), tf=tf)
    traversal = RosbagTraversal(path, run=run)
    frames = list(traversal.frames())
    assert len(frames) == (14, 16, 13)[taken - 1]
    for i, frame in enumerate(frames):
        number = i + 100 * (taken - 1)
        assert frame.stamp_ns == stamp(i)
        np.testing.assert_array_equal(frame.image, picture(number))
        np.testing.assert_allclose(frame.T_map_camera, base_at(number) @ T_BASE_CAMERA, atol=1e-9)
    assert len(list(traversal.scans())) == len(frames)
    source = traversal.sources[0]
    assert (source.role, source.name, source.messages) == ("run", str(taken), len(frames))
    assert {other.name for other in source.passed_over} == {"1", "2", "3"} - {str(taken)}
    assert not traversal.skipped


def test_a_run_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    path = write_runs(tmp_path / "bag", (14, 16))
    with pytest.raises(TraversalError, match=r"no run 3; .* jumps back 1 times, so the runs are 1 to 2"):
        open_traversal(path, run=3)


def test_one_stray_stamp_begins_no_run(tmp_path: Path) -> None:
    with Recorder(tmp_path / "bag") as bag:
        for i in range(12):
            now = stamp(i) if i != 5 else stamp(-50)
            bag.camera_info("/camera/camera_info", now, FRAME, CAMERA)
            bag.image("/camera/image_raw", now, FRAME, picture(i))
    traversal = RosbagTraversal(tmp_path / "bag")
    assert len(list(traversal.frames())) == 11
    assert all(source.role != "run" for source in traversal.sources)
    assert traversal.skipped.counts["images with a stamp not after the one before"] == 1
