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

"""Building a map: its contents, the frames left out, and the resumption of an interrupted build."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cells_network import cells_network, write_cells_network
from lidar_room import LidarRoom
from numpy.typing import NDArray
from room import Room

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.core.progress import ProgressCallback
from scene_geo_loc.geometry.pose import transform
from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder, build_map
from scene_geo_loc.mapping.partial_map import PartialMap
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.matchers.encoder_storage import NO_CELL
from scene_geo_loc.matchers.sift import SiftMatcher
from scene_geo_loc.networks.architecture.checkpoint import (
    save_checkpoint,
    untrained_network,
)
from scene_geo_loc.training.common.initialisation import network_for_scenes
from scene_geo_loc.training.common.protocols import Freeze, Task
from scene_geo_loc.traversals.frame import Frame, Scan

pytestmark = pytest.mark.slow

EVERY_FRAME = BuilderSettings(keyframe_distance_m=0)


def build(out: Path, frames: list[Frame], **options: object) -> ReferenceMap:
    builder = MapBuilder(out, EVERY_FRAME, device="cpu", **options)  # type: ignore[arg-type]
    for frame in frames:
        builder.add_frame(frame)
    return ReferenceMap.open(builder.finish())


def same_contents(a: Path, b: Path) -> bool:
    names = sorted(file.name for file in a.iterdir())
    return names == sorted(file.name for file in b.iterdir()) and all(
        (a / name).read_bytes() == (b / name).read_bytes() for name in names if name != "map.json"
    )


def test_after_a_jump_back_in_time_waiting_keyframes_do_not_stop_the_build(
    room: Room, tmp_path: Path
) -> None:
    frames = [replace(frame, depth=None) for frame in room.drive(6)]
    builder = MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu")
    for frame in frames[3:]:
        builder.add_frame(frame)
    assert builder.progress.waiting == 3
    builder.start_over()
    for frame in frames[:3]:
        builder.add_frame(frame)
    assert len(ReferenceMap.open(builder.finish())) == 6
    assert not builder.progress.skipped.counts


def test_a_resumed_build_takes_earlier_frames_where_time_started_over(room: Room, tmp_path: Path) -> None:
    frames = room.drive(6)
    interrupted = MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu")
    for frame in frames[3:]:
        interrupted.add_frame(frame)
    interrupted.abandon()
    resumed = MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu")
    assert resumed.resumed_keyframes == 3
    resumed.start_over()
    for frame in frames[:3]:
        resumed.add_frame(frame)
    assert len(ReferenceMap.open(resumed.finish())) == 6


def test_the_same_frames_give_the_same_map(room: Room, tmp_path: Path) -> None:
    build(tmp_path / "a", room.drive(5))
    build(tmp_path / "b", room.drive(5))
    assert same_contents(tmp_path / "a", tmp_path / "b")


def test_passing_frames_over_by_their_pose_gives_the_same_map(room: Room, tmp_path: Path) -> None:
    settings = BuilderSettings(keyframe_distance_m=2, keyframe_angle_deg=180)
    decoded = []
    for name in ("a", "b"):
        builder = MapBuilder(tmp_path / name, settings, device="cpu")
        for frame in room.drive(5):
            assert frame.T_map_camera is not None
            if name == "a" or not builder.pass_over(frame.stamp_ns, frame.T_map_camera):
                builder.add_frame(frame)
                decoded.append(name)
        assert builder.progress.frames == 5
        builder.finish()
    assert decoded.count("b") == len(ReferenceMap.open(tmp_path / "b")) < 5
    assert same_contents(tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("distance_m", [0.0, 0.7])
def test_a_traversal_gives_the_map_that_its_frames_and_scans_give_one_by_one(
    tmp_path: Path, distance_m: float
) -> None:
    """Several keyframes at a time, of which the last ones wait for scans; frames in between are not read."""
    settings = BuilderSettings(keyframe_distance_m=distance_m)
    traversal = LidarRoom()
    one_by_one = MapBuilder(tmp_path / "a", settings, device="cpu")
    items: list[Frame | Scan] = [*traversal.scans(), *traversal.frames()]
    for item in sorted(items, key=lambda item: item.stamp_ns):
        if isinstance(item, Scan):
            one_by_one.add_scan(item)
        else:
            one_by_one.add_frame(item)
    together = MapBuilder(tmp_path / "b", settings, device="cpu")
    shown: list[tuple[int, int]] = []
    together.add_traversal(traversal, lambda *progress: shown.append(progress))
    assert together.progress == one_by_one.progress
    assert shown == [(i + 1, len(traversal)) for i in range(len(traversal))]
    one_by_one.finish()
    together.finish()
    assert same_contents(tmp_path / "a", tmp_path / "b")


def test_nothing_is_under_the_final_name_before_the_map_is_whole(room: Room, tmp_path: Path) -> None:
    builder = MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu")
    for frame in room.drive(3):
        builder.add_frame(frame)
    assert not (tmp_path / "map").exists()
    builder.finish()
    assert [entry.name for entry in tmp_path.iterdir()] == ["map"]
    assert not (tmp_path / "map" / "work").exists()


def test_a_build_that_stopped_goes_on_to_the_same_map(room: Room, tmp_path: Path) -> None:
    frames = room.drive(6)
    whole = build(tmp_path / "whole", frames)
    first = MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu")
    for frame in frames[:4]:
        first.add_frame(frame)
    del first  # as a crash would: neither finished nor closed
    second = MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu")
    assert second.resumed_keyframes == 4
    for frame in frames:
        second.add_frame(frame)
    second.finish()
    assert second.progress.keyframes == 6
    assert same_contents(tmp_path / "map", whole.path)


@pytest.mark.parametrize("stopped_after", [4, 5])
def test_cameras_of_one_instant_are_keyframes_each_and_a_frame_given_twice_is_one(
    room: Room, tmp_path: Path, stopped_after: int
) -> None:
    """Two cameras with the same stamps, and a build that is stopped between instants or in one."""
    frames = [
        room.frame(-3.0 + x, 0.0, heading, stamp_ns=10**8 * (x + 1))
        for x in range(4)
        for heading in (0.0, 15.0)
    ]
    whole = build(tmp_path / "whole", frames)
    assert len(whole) == len(frames)
    first = MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu")
    for frame in frames[:stopped_after]:
        first.add_frame(frame)
    first.abandon()
    second = MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu")
    assert second.resumed_keyframes == stopped_after
    for frame in frames:
        second.add_frame(frame)
    assert same_contents(second.finish(), whole.path)


def test_a_frame_that_is_given_twice_while_it_waits_for_its_lidar_is_one_keyframe(
    room: Room, tmp_path: Path
) -> None:
    frames = without_depth(room.drive(3))
    builder = MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu")
    for frame in (*frames, frames[2]):
        builder.add_frame(frame)
    assert builder.progress.skipped.counts == {"given twice": 1}


def test_what_a_kill_tore_is_built_again(room: Room, tmp_path: Path) -> None:
    frames = room.drive(6)
    whole = build(tmp_path / "whole", frames)
    builder = MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu")
    for frame in frames[:4]:
        builder.add_frame(frame)
    builder.abandon()
    partial = tmp_path / "map.partial"
    journal = partial / "work" / "journal.jsonl"
    journal.write_text(journal.read_text()[:-30])
    for name in ("local_features.npy", "thumbnails.bin"):
        with (partial / name).open("ab") as file:
            file.write(b"torn")
    assert same_contents(build(tmp_path / "map", frames).path, whole.path)


@pytest.mark.parametrize("after", [1, 6])
def test_a_build_killed_while_it_finished_goes_on(room: Room, tmp_path: Path, after: int) -> None:
    settings = BuilderSettings(keyframe_distance_m=0, depth="auto")

    def begin(out: str) -> MapBuilder:
        builder = MapBuilder(tmp_path / out, settings, device="cpu")
        for frame in without_depth(room.drive(4)):
            builder.add_frame(frame)
        return builder

    def die(done: int, total: int) -> None:
        assert total == 2 * 4  # of each keyframe the descriptor and the depth
        if done == after:
            raise KeyboardInterrupt

    whole = begin("whole").finish()
    with pytest.raises(KeyboardInterrupt):
        begin("map").finish(die)
    assert not (tmp_path / "map").exists()
    assert same_contents(begin("map").finish(), whole)


def test_a_killed_process_leaves_a_build_that_goes_on(room_map: Path, room: Room, tmp_path: Path) -> None:
    """Kills a real process, as `kill -9` does, once its first keyframes are on the disk."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); from room import Room; from pathlib import Path;"
        "from scene_geo_loc.mapping.builder import *;"
        "b = MapBuilder(Path(sys.argv[1]), BuilderSettings(keyframe_distance_m=0.2), device='cpu');"
        "[b.add_frame(f) for f in Room().drive()];"
        "[b.add_frame(Room().frame(0, 0, a, 10**12 + a)) for a in range(100000)]"
    )
    out = tmp_path / "map"
    tests = str(Path(__file__).resolve().parents[1])
    process = subprocess.Popen([sys.executable, "-c", script, str(out), tests])
    journal = tmp_path / "map.partial" / "work" / "journal.jsonl"
    try:
        while not journal.exists() or journal.read_text().count("\n") < 4:
            assert process.poll() is None, "the build ended by itself"
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert not out.exists()
    builder = MapBuilder(out, BuilderSettings(keyframe_distance_m=0.2), device="cpu")
    assert builder.resumed_keyframes >= 3
    for frame in room.drive():
        builder.add_frame(frame)
    opened = ReferenceMap.open(builder.finish())
    opened.verify()
    assert len(opened) >= len(ReferenceMap.open(room_map))


def test_going_on_with_other_settings_is_refused(room: Room, tmp_path: Path) -> None:
    builder = MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu")
    builder.add_frame(room.drive()[0])
    builder.abandon()
    other = MapBuilder(tmp_path / "map", BuilderSettings(keyframe_distance_m=5), device="cpu")
    with pytest.raises(MapError, match="begun with another settings"):
        other.add_frame(room.drive()[1])


def test_a_partial_map_that_lost_data_is_refused(room: Room, tmp_path: Path) -> None:
    builder = MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu")
    for frame in room.drive(2):
        builder.add_frame(frame)
    builder.abandon()
    (array,) = (tmp_path / "map.partial").rglob("depth.npy")
    array.write_bytes(array.read_bytes()[:-1])
    with pytest.raises(MapError, match="lacks data"):
        MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu").add_frame(room.drive()[3])


def test_an_existing_map_is_kept_unless_told_otherwise(room: Room, tmp_path: Path) -> None:
    build(tmp_path / "map", room.drive(2))
    with pytest.raises(MapError, match="exists already"):
        MapBuilder(tmp_path / "map")
    assert len(build(tmp_path / "map", room.drive(4), overwrite=True)) == 4
    assert [entry.name for entry in tmp_path.iterdir()] == ["map"]


@pytest.mark.parametrize("entry", ["photos", "file", "link", "map and notes"])
def test_what_is_more_than_a_map_is_never_replaced(room_map: Path, tmp_path: Path, entry: str) -> None:
    out = tmp_path / "out"
    if entry == "photos":
        out.mkdir()
        (out / "photo.jpg").write_text("mine")
    elif entry == "file":
        out.write_text("mine")
    elif entry == "link":
        out.symlink_to(room_map)
    else:
        shutil.copytree(room_map, out)
        (out / "notes.txt").write_text("mine")
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    with pytest.raises(MapError, match="not replaced"):
        MapBuilder(out, overwrite=True)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


def test_folders_of_the_user_beside_a_map_are_kept(room: Room, tmp_path: Path) -> None:
    for name in ("map.partial", "map.replaced"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "photo.jpg").write_text("mine")
    with pytest.raises(MapError, match=r"map\.partial is in the way"):
        MapBuilder(tmp_path / "map")
    (tmp_path / "map.partial").rename(tmp_path / "photos")
    for count in (1, 2):
        build(tmp_path / "map", room.drive(count), overwrite=True)
    assert (tmp_path / "map.replaced" / "photo.jpg").read_text() == "mine"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["map", "map.replaced", "photos"]


def test_a_second_build_of_the_same_map_is_refused(room: Room, tmp_path: Path) -> None:
    first, late = (MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu") for _ in range(2))
    frames = room.drive(2)
    for frame in frames:
        first.add_frame(frame)
    with pytest.raises(MapError, match="being written by another process"):
        MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu")
    with pytest.raises(MapError, match="being written by another process"):
        late.add_frame(frames[0])
    ReferenceMap.open(first.finish()).verify()


def test_frames_that_cannot_be_used_are_counted_by_reason(room: Room, tmp_path: Path) -> None:
    good = room.drive(2)
    black = np.zeros_like(good[0].image)
    builder = MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu")
    for frame in (
        good[0],
        replace(good[1], T_map_camera=None),
        replace(good[1], image=black),
        replace(good[1], image=black[:50]),
        good[1],
    ):
        builder.add_frame(frame)
    assert builder.progress.skipped.counts == {
        "without a pose": 1,
        "black or saturated": 1,
        "of another size than their camera says": 1,
    }
    opened = ReferenceMap.open(builder.finish())
    assert opened.info.skipped == builder.progress.skipped.counts


def test_no_usable_frame_is_an_error_that_says_why(room: Room, tmp_path: Path) -> None:
    builder = MapBuilder(tmp_path / "map", device="cpu")
    for frame in room.drive(3):
        builder.add_frame(replace(frame, T_map_camera=None))
    with pytest.raises(MapError, match=r"none of 3 frames .* \(3 without a pose\)"):
        builder.finish()
    assert list(tmp_path.iterdir()) == []


def test_depth_comes_from_the_lidar_where_no_sensor_gave_it(room: Room, tmp_path: Path) -> None:
    frames = room.drive(3)
    network = write_cells_network(tmp_path / "cells.safetensors")
    builder = MapBuilder(tmp_path / "map", EVERY_FRAME, network=network, device="cpu")
    for frame in frames:
        pixels = np.stack(np.meshgrid(np.arange(0, 160, 2), np.arange(0, 120, 2)), axis=-1).reshape(-1, 2)
        points = room.camera.back_project(pixels, frame.depth[pixels[:, 1], pixels[:, 0]])
        builder.add_scan(Scan(frame.stamp_ns, transform(frame.T_map_camera, points)))
        builder.add_frame(replace(frame, depth=None))
    assert builder.progress.waiting == 3  # for scans after them
    opened = ReferenceMap.open(builder.finish())
    assert opened.depth_source.to_pylist() == ["lidar"] * 3
    cells = opened.features["cells"][1]
    assert (cells != NO_CELL).mean() > 0.9
    truth = frames[1].depth[2::4, 2::4].ravel()[cells[cells != NO_CELL]]
    error = np.abs(opened.depth[1][cells != NO_CELL] - truth) / truth
    assert np.nanmedian(error) < 0.01


def test_keyframes_wait_for_the_scans_after_them_and_no_longer(room: Room, tmp_path: Path) -> None:
    builder = MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu")
    waiting = []
    for i, frame in enumerate(room.drive(6)):
        builder.add_frame(
            replace(frame, stamp_ns=frame.stamp_ns + i * 700_000_000, depth=None)
        )  # 0.8 s apart
        waiting.append(builder.progress.waiting)
    assert waiting == [1, 2, 3, 3, 3, 3]


def test_keyframes_wait_for_lines_of_a_pushbroom_until_what_they_see_is_behind(
    room: Room, tmp_path: Path
) -> None:
    builder = MapBuilder(tmp_path / "map", BuilderSettings(lidar="pushbroom"), device="cpu")
    waiting = []
    for i, frame in enumerate(room.drive(6)):
        T_map_camera = frame.T_map_camera.copy()
        T_map_camera[0, 3] = 30.0 * i
        builder.add_frame(replace(frame, T_map_camera=T_map_camera, depth=None))
        waiting.append(builder.progress.waiting)
    assert waiting == [1, 2, 3, 4, 4, 4]


def test_keyframes_without_any_depth_are_counted(room: Room, tmp_path: Path) -> None:
    save_checkpoint(untrained_network(), tmp_path / "net.safetensors", {})
    network = tmp_path / "net.safetensors"
    builder = MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu", network=network)
    for frame in room.drive(3):
        builder.add_frame(replace(frame, depth=None))
    builder.finish()
    assert builder.progress.without_depth == 3


@pytest.fixture(scope="module")
def depth_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a network that infers depth and how far off it may be, and has not learned to."""
    changes: dict[str, str | bool] = {"depth_scale": "inverse_20m", "uncertainty": True}
    network, _ = network_for_scenes("default", Freeze.ENCODER, 0, changes, (Task.DEPTH,))
    path = tmp_path_factory.mktemp("network") / "depth.safetensors"
    save_checkpoint(network, path, {})
    return path


def without_depth(frames: list[Frame]) -> list[Frame]:
    return [replace(frame, depth=None) for frame in frames]


def test_depth_comes_from_the_network_where_it_is_asked_for(
    room: Room, depth_network: Path, tmp_path: Path
) -> None:
    frames = [*without_depth(room.drive(3)), *room.drive(5)[3:]]
    sources = {"measured": ["none"] * 3, "auto": ["learned"] * 3, "learned": ["learned"] * 3}
    for depth, of_the_first in sources.items():
        settings = BuilderSettings(keyframe_distance_m=0, depth=depth)  # type: ignore[arg-type]
        builder = MapBuilder(tmp_path / depth, settings, device="cpu", network=depth_network)
        for frame in frames:
            builder.add_frame(frame)
        opened = ReferenceMap.open(builder.finish())
        told = opened.depth_source.to_pylist()
        assert told == of_the_first + (["learned"] if depth == "learned" else ["sensor"]) * 2
        if depth == "measured":
            assert opened.depth_sigma is None
        else:
            assert opened.depth_sigma is not None
            uncertain = [bool((row > 0).any()) for row in opened.depth_sigma]
            assert uncertain == [source == "learned" for source in told]


def test_a_network_without_depth_cannot_give_any(tmp_path: Path) -> None:
    save_checkpoint(untrained_network(), tmp_path / "net.safetensors", {})
    settings = BuilderSettings(depth="learned")
    with pytest.raises(MapError, match="The network infers no depth, and depth is to be learned"):
        MapBuilder(tmp_path / "map", settings, device="cpu", network=tmp_path / "net.safetensors")


def test_a_map_can_be_built_with_the_network_of_another(room: Room, room_map: Path, tmp_path: Path) -> None:
    network = room_map / "network.safetensors"
    opened = build(tmp_path / "map", room.drive(4), network=network)
    assert opened.info.network_digest == ReferenceMap.open(room_map).info.network_digest


def depth_of_cells(opened: ReferenceMap) -> NDArray[np.float64]:
    """Depth (keyframes, cells) of a map of cells, NaN at the cells that it does not keep."""
    depth = np.full((len(opened), 1200), np.nan)
    cells = opened.features["cells"]
    keyframe, row = np.nonzero(cells != NO_CELL)
    depth[keyframe, cells[keyframe, row]] = opened.depth[keyframe, row]
    return depth


@pytest.mark.parametrize("infers_depth", [True, False])
def test_neighbouring_keyframes_show_the_depth_that_none_measured(
    room: Room, tmp_path: Path, infers_depth: bool
) -> None:
    frames, network, path = room.drive(9), cells_network(), tmp_path / "network.safetensors"
    save_checkpoint(network if infers_depth else network.without_depth(), path, {})
    measured = depth_of_cells(build(tmp_path / "measured", frames, network=path))
    settings = BuilderSettings(keyframe_distance_m=0, depth="auto")
    builder = MapBuilder(tmp_path / "map", settings, device="cpu", network=path)
    for frame in without_depth(frames):
        builder.add_frame(frame)
    seen = ReferenceMap.open(builder.finish())
    assert set(seen.depth_source.to_pylist()) == {"learned" if infers_depth else "triangulated"}
    assert builder.progress.without_depth == 0
    error = np.abs(depth_of_cells(seen) / measured - 1)
    assert np.isfinite(error).mean() > 0.1
    assert np.nanmedian(error) < 0.1


def test_a_traversal_becomes_a_map_by_one_call(tmp_path: Path) -> None:
    shown: list[str] = []

    @contextmanager
    def display(title: str, unit: str) -> Iterator[ProgressCallback]:
        yield lambda done, total: shown.append(f"{done} of {total} {unit}")

    opened = build_map(LidarRoom(4), tmp_path / "map", EVERY_FRAME, device="cpu", display=display)
    assert len(opened) == 4
    assert opened.info.source == "a room"
    assert set(opened.depth_source.to_pylist()) == {"lidar"}
    assert shown[:4] == [f"{done} of 4 frames" for done in (1, 2, 3, 4)]
    assert shown[-1] == "4 of 4 steps"


def test_a_map_is_built_with_a_matcher_of_ones_own(room: Room, tmp_path: Path) -> None:
    class OwnMatcher(SiftMatcher):
        """Finds the same features under another name."""

        name = "own"

    own = build(tmp_path / "own", room.drive(2), matcher=OwnMatcher)
    assert own.info.matcher == "own"
    settings = BuilderSettings(keyframe_distance_m=0, matcher="sift")
    builder = MapBuilder(tmp_path / "sift", settings, device="cpu")
    for frame in room.drive(2):
        builder.add_frame(frame)
    assert same_contents(builder.finish(), own.path)


def test_a_full_disk_is_one_sentence_and_the_build_resumes_when_there_is_room(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    frames = room.drive(3)
    builder = MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu")
    builder.add_frame(frames[0])
    no_space = r"map\.partial cannot be written \(No space left on device\)"
    with monkeypatch.context() as patch:
        patch.setattr(PartialMap, "append", full)
        with pytest.raises(MapError, match=no_space):
            builder.add_frame(frames[1])
    with monkeypatch.context() as patch:
        patch.setattr(PartialMap, "write_keyframes", full)
        with pytest.raises(MapError, match=no_space):
            builder.finish()
    builder = MapBuilder(tmp_path / "map", EVERY_FRAME, device="cpu")
    for frame in frames:
        builder.add_frame(frame)
    assert len(ReferenceMap.open(builder.finish())) == 3
