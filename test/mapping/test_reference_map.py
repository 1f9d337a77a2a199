"""The map's folder: what it holds, how it opens, and what is said of a damaged one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from room import Room

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.mapping.reference_map import FILES, ReferenceMap


@pytest.fixture
def copy(room_map: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(room_map, tmp_path / "map"))


def test_it_holds_the_keyframes_as_they_were_given(room_map: Path, room: Room) -> None:
    frames = room.drive()
    opened = ReferenceMap.open(room_map)
    opened.verify()
    assert len(opened) == len(frames)
    assert opened.map_frame == "map"
    np.testing.assert_array_equal(opened.stamps_ns, [frame.stamp_ns for frame in frames])
    np.testing.assert_allclose(opened.T_map_camera, [frame.T_map_camera for frame in frames], atol=1e-9)
    assert opened.camera_of(3) == room.camera
    assert opened.names[3].as_py() == frames[3].name


def test_depth_is_that_of_the_image_at_the_cells_to_half_precision(room_map: Path, room: Room) -> None:
    opened = ReferenceMap.open(room_map)
    depth = opened.depth[0].reshape(30, 40)  # 320x240 input, a cell every 8 pixels, over a 160x120 image
    np.testing.assert_allclose(depth, room.drive()[0].depth[2::4, 2::4], rtol=1e-3)


def test_features_lose_little_by_their_axes_and_eight_bits(room_map: Path, room: Room) -> None:
    from scene_geo_loc.localization.localizer import Localizer

    opened = ReferenceMap.open(room_map)
    localizer, image = Localizer(opened, device="cpu"), room.drive()[0].image
    stored = localizer.matcher.read(opened.features_of(0)).descriptors
    np.testing.assert_allclose(np.linalg.norm(stored, axis=1), 1, atol=1e-5)
    exact = localizer.matcher.extract(image, localizer.extractor.extract(image)).descriptors
    assert (stored * exact).sum(axis=1).min() > 0.995


def test_thumbnails_show_the_keyframes(room_map: Path, room: Room) -> None:
    picture = ReferenceMap.open(room_map).thumbnail(5)
    assert picture.shape == (150, 200, 3)
    means = [frame.image.mean(axis=(0, 1)) for frame in room.drive()]
    distances = [np.abs(picture.mean(axis=(0, 1)) - mean).sum() for mean in means]
    assert int(np.argmin(distances)) == 5


def test_a_keyframe_takes_at_most_61_kb(room_map: Path) -> None:
    shared = {"network.safetensors", "matcher.safetensors", "map.json"}
    total = sum(file.stat().st_size for file in room_map.iterdir() if file.name not in shared)
    assert total / len(ReferenceMap.open(room_map)) <= 61_000


def test_a_missing_map_is_said(tmp_path: Path) -> None:
    with pytest.raises(MapError, match="no reference map at"):
        ReferenceMap.open(tmp_path / "nowhere")


def test_an_unfinished_map_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "map.partial").mkdir()
    with pytest.raises(MapError, match="run the same `map build` again"):
        ReferenceMap.open(tmp_path / "map")


@pytest.mark.parametrize("name", FILES)
def test_each_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(MapError, match=f"lacks {name}"):
        ReferenceMap.open(copy)


@pytest.mark.parametrize("name", FILES)
def test_each_truncated_file_is_named(copy: Path, name: str) -> None:
    (copy / name).write_bytes((copy / name).read_bytes()[:-10])
    with pytest.raises(MapError, match=name):
        ReferenceMap.open(copy)


@pytest.mark.parametrize("name", FILES)
def test_verify_finds_a_changed_byte_in_each_file(copy: Path, name: str) -> None:
    opened = ReferenceMap.open(copy)
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(MapError, match=f"{name} has changed"):
        opened.verify()


def change_info(path: Path, **values: object) -> None:
    info = json.loads((path / "map.json").read_text())
    (path / "map.json").write_text(json.dumps({**info, **values}))


def test_a_newer_format_is_refused(copy: Path) -> None:
    change_info(copy, format_version=99)
    with pytest.raises(MapError, match="update scene_geo_loc"):
        ReferenceMap.open(copy)


def test_a_file_of_something_else_is_refused(copy: Path) -> None:
    change_info(copy, format="occupancy grid")
    with pytest.raises(MapError, match="occupancy grid"):
        ReferenceMap.open(copy)


def test_a_damaged_map_json_is_said(copy: Path) -> None:
    (copy / "map.json").write_text("{")
    with pytest.raises(MapError, match=r"map\.json cannot be read"):
        ReferenceMap.open(copy)


def test_a_map_json_without_its_keys_names_the_first(copy: Path) -> None:
    info = json.loads((copy / "map.json").read_text())
    del info["map_frame"]
    (copy / "map.json").write_text(json.dumps(info))
    with pytest.raises(MapError, match="damaged at 'map_frame'"):
        ReferenceMap.open(copy)


def test_files_that_disagree_on_the_number_of_keyframes_are_refused(copy: Path) -> None:
    change_info(copy, keyframes=3)
    with pytest.raises(MapError, match="disagree"):
        ReferenceMap.open(copy)
