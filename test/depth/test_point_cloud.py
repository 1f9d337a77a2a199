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

"""Point clouds of existing lidar maps: their files, and the depth that images get of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from room import Room

from scene_geo_loc.core.errors import MapError, TraversalError
from scene_geo_loc.depth.lidar import lidar_depth
from scene_geo_loc.depth.point_cloud import OCCLUDER_M, PointCloud
from scene_geo_loc.geometry.pose import transform
from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.traversals import point_cloud_files
from scene_geo_loc.traversals.point_cloud_files import read_points


def write_pcd(path: Path, points: NDArray[np.float64], data: str = "binary", kind: str = "F8") -> Path:
    """Writes a PCD file with an intensity before the coordinates and a normal of three numbers after them."""
    letter, size = kind[0], kind[1]
    head = (
        f"# .PCD v0.7\nVERSION 0.7\nFIELDS intensity x y z normal\nSIZE 4 {size} {size} {size} 4\n"
        f"TYPE F {letter} {letter} {letter} F\nCOUNT 1 1 1 1 3\nWIDTH {len(points)}\nHEIGHT 1\n"
        f"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS {len(points)}\nDATA {data}\n"
    ).encode()
    rows = np.zeros(
        len(points),
        [("i", "<f4"), *((axis, f"<{letter.lower()}{size}") for axis in "xyz"), ("n", "<f4", (3,))],
    )
    for column, axis in enumerate("xyz"):
        rows[axis] = points[:, column]
    body = rows.tobytes()
    if data == "ascii":
        body = "".join(f"0.5 {x:.9g} {y:.9g} {z:.9g} 0 0 1\n" for x, y, z in points).encode()
    path.write_bytes(head + body)
    return path


def write_ply(path: Path, points: NDArray[np.float64], encoding: str) -> Path:
    """Writes a PLY file with colours and faces, which are not read."""
    head = (
        f"ply\nformat {encoding} 1.0\ncomment of a scanner\nelement vertex {len(points)}\n"
        "property double x\nproperty double y\nproperty double z\nproperty uchar red\n"
        "element face 0\nproperty list uchar int vertex_indices\nend_header\n"
    ).encode()
    if encoding == "ascii":
        body = "".join(f"{x:.9g} {y:.9g} {z:.9g} 7\n" for x, y, z in points).encode()
    else:
        order = "<" if "little" in encoding else ">"
        rows = np.zeros(len(points), [*((axis, f"{order}f8") for axis in "xyz"), ("red", "u1")])
        for column, axis in enumerate("xyz"):
            rows[axis] = points[:, column]
        body = rows.tobytes()
    path.write_bytes(head + body)
    return path


@settings(max_examples=20)
@given(
    rows=st.lists(st.tuples(*[st.integers(-(10**6), 10**6)] * 3), min_size=1, max_size=40),
    form=st.sampled_from(
        ["pcd ascii", "pcd binary", "ply ascii", "ply binary_little_endian", "ply binary_big_endian"]
    ),
)
def test_points_come_back_from_every_form(
    rows: list[tuple[int, int, int]], form: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    points = np.array(rows, np.float64) / 1000
    suffix, data = form.split()
    path = tmp_path_factory.mktemp("clouds") / f"cloud.{suffix}"
    write_pcd(path, points, data) if suffix == "pcd" else write_ply(path, points, data)
    np.testing.assert_allclose(np.concatenate(list(read_points(path))), points, atol=1e-6)


def test_las_and_laz_are_read_by_laspy(tmp_path: Path) -> None:
    laspy = pytest.importorskip("laspy", reason="the extra `clouds` is not installed")
    points = np.random.default_rng(0).uniform(-50, 50, (1000, 3))
    for suffix in ("las", "laz"):
        header = laspy.LasHeader(point_format=3, version="1.2")
        header.scales, header.offsets = np.full(3, 0.001), np.zeros(3)
        cloud = laspy.LasData(header)
        cloud.x, cloud.y, cloud.z = points.T
        cloud.write(tmp_path / f"cloud.{suffix}")
        read = np.concatenate(list(read_points(tmp_path / f"cloud.{suffix}")))
        np.testing.assert_allclose(read, points, atol=0.001)
    (tmp_path / "cut.las").write_bytes((tmp_path / "cloud.las").read_bytes()[:300])
    with pytest.raises(TraversalError, match="damaged"):
        list(read_points(tmp_path / "cut.las"))


def test_points_that_are_not_finite_are_left_out_and_blocks_are_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(point_cloud_files, "BLOCK_POINTS", 7)
    points = np.random.default_rng(1).uniform(-5, 5, (30, 3))
    points[[3, 20]] = np.nan
    for data in ("binary", "ascii"):
        blocks = list(read_points(write_pcd(tmp_path / f"{data}.pcd", points, data)))
        assert len(blocks) == 5
        np.testing.assert_allclose(np.concatenate(blocks), np.delete(points, [3, 20], axis=0), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("cloud.xyz", b"1 2 3", "no point cloud"),
        ("missing.ply", None, "no point cloud at"),
        ("garbage.pcd", b"\x00" * 500, "damaged"),
        ("empty.ply", b"", "damaged"),
        ("mesh.ply", b"ply\nformat ascii 1.0\nelement face 3\nelement vertex 1\nend_header\n", "face before"),
    ],
)
def test_other_files_end_in_one_sentence(
    tmp_path: Path, name: str, content: bytes | None, match: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TraversalError, match=match):
        list(read_points(tmp_path / name))


def test_a_cut_cloud_and_a_compressed_one_are_refused(tmp_path: Path) -> None:
    points = np.random.default_rng(1).uniform(-5, 5, (30, 3))
    whole = write_pcd(tmp_path / "whole.pcd", points)
    (tmp_path / "cut.pcd").write_bytes(whole.read_bytes()[:-10])
    with pytest.raises(TraversalError, match="30 points"):
        list(read_points(tmp_path / "cut.pcd"))
    write_pcd(tmp_path / "text.pcd", points, "ascii")
    (tmp_path / "cut.pcd").write_bytes((tmp_path / "text.pcd").read_bytes()[:-200])
    with pytest.raises(TraversalError, match="damaged"):
        list(read_points(tmp_path / "cut.pcd"))
    with pytest.raises(TraversalError, match="'binary_compressed': save it as binary"):
        list(read_points(write_pcd(tmp_path / "packed.pcd", points, "binary_compressed")))
    with pytest.raises(MapError, match="no points"):
        PointCloud.read(write_pcd(tmp_path / "nothing.pcd", np.full((3, 3), np.nan)))


def surface(room: Room) -> NDArray[np.float64]:
    """Points of the room's walls, seen from several places."""
    parts = []
    for x, heading in ((-3.0, 0.0), (0.0, 90.0), (0.0, -90.0), (1.0, 10.0)):
        frame = room.frame(x, 0.0, heading)
        v, u = np.mgrid[: room.camera.height : 2, : room.camera.width : 2]
        depth = frame.depth[::2, ::2].ravel().astype(np.float64)
        rays = room.camera.rays(np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float64))
        parts.append(transform(frame.T_map_camera, rays * depth[:, None]))
    return np.concatenate(parts)


def test_the_depth_of_a_cloud_is_that_of_what_the_camera_sees(room: Room) -> None:
    walls = surface(room)
    behind = walls + 3.0 * np.sign(walls) * (np.abs(walls) > 0.98 * Room.HALF)  # rooms next door
    cloud = PointCloud("walls", [walls, behind])
    frame = room.frame(-1.5, 0.2, 5.0)
    depth = lidar_depth(
        cloud.near(frame.T_map_camera[:3, 3]), frame.T_map_camera, frame.camera, frame.image, OCCLUDER_M
    )
    known = np.isfinite(depth)
    assert known.mean() > 0.3
    assert np.median(np.abs(depth - frame.depth)[known]) < 0.1
    assert np.mean(depth[known] > frame.depth[known] + 1.0) < 0.05


def test_of_points_in_one_spot_one_is_kept_however_they_are_read() -> None:
    rng = np.random.default_rng(3)
    points = np.repeat(rng.uniform(-60, 60, (500, 3)), 4, axis=0) + rng.uniform(0, 1e-4, (2000, 3))
    whole = PointCloud("whole", [points])
    parts = PointCloud("parts", np.array_split(points, 20))
    assert 500 <= whole.count < 700
    assert parts.count == whole.count
    assert sum(len(tile) for tile in whole.near(np.zeros(3))) == whole.count
    assert sum(len(tile) for tile in whole.near(np.array([500.0, 0.0, 0.0]))) == 0


@pytest.mark.slow
def test_a_map_gets_its_depth_from_a_cloud_and_notices_another_frame(room: Room, tmp_path: Path) -> None:
    cloud = PointCloud("walls.pcd", [surface(room)])

    def build(name: str, given: PointCloud, **arguments: Any) -> Path:
        settings = BuilderSettings(keyframe_distance_m=0.2)
        builder = MapBuilder(tmp_path / name, settings, cloud=given, device="cpu", **arguments)
        try:
            for frame in room.drive():
                builder.add_frame(replace(frame, depth=None))
            out = builder.finish()
            assert builder.cloud_agreement is not None
            assert builder.cloud_agreement.features > 100
            assert builder.cloud_agreement.share > 0.8
            assert builder.cloud_agreement.off < 0.1
            return out
        finally:
            builder.abandon()

    opened = ReferenceMap.open(build("map", cloud))
    assert set(opened.depth_source.to_pylist()) == {"lidar"}
    assert np.isfinite(opened.depth).any(axis=1).all()
    assert [source.name for source in opened.info.sources] == ["walls.pcd"]
    elsewhere = PointCloud("other.pcd", [surface(room) + np.array([5000.0, 0.0, 0.0])])
    moved = surface(room) - (3.0, 0.0, 0.0)  # the drive is in it all the same
    with pytest.raises(MapError, match=r"moved.pcd is in another frame .* < 50%"):
        build("moved", PointCloud("moved.pcd", [moved]))
    with pytest.raises(MapError, match="different frames"):
        build("refused", elsewhere)
