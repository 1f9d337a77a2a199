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

"""The map's folder: its contents, opening it, and errors for a damaged one."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from room import Room

from scene_geo_loc.core.errors import MapError
from scene_geo_loc.mapping.map_info import (
    FILES,
    INDEX_DATABASE,
    OTHER_LOCALIZERS,
    READ_WHOLE,
    USER_NETWORKS,
    VISUAL_WORDS,
)
from scene_geo_loc.mapping.reference_map import ReferenceMap


@pytest.fixture
def copy(cells_map: Path, tmp_path: Path) -> Path:
    """A map with all kinds of files."""
    return Path(shutil.copytree(cells_map, tmp_path / "map"))


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


def test_depth_is_that_of_the_image_at_the_kept_cells_to_half_precision(cells_map: Path, room: Room) -> None:
    opened = ReferenceMap.open(cells_map)
    cells = opened.features["cells"][0]
    assert len(np.unique(cells)) == len(cells) == 540
    # The input is 320x240 with a cell every 8 pixels, over a 160x120 image.
    exact = room.drive()[0].depth[2::4, 2::4].ravel()
    np.testing.assert_allclose(opened.depth[0], exact[cells], rtol=1e-3)


def test_features_lose_little_by_their_axes_and_four_bits(cells_map: Path, room: Room) -> None:
    from scene_geo_loc.localization.localizer import Localizer

    opened = ReferenceMap.open(cells_map)
    localizer, image = Localizer(opened, device="cpu"), room.drive()[0].image
    stored = localizer.matcher.storage.read(opened.features_of(0)).descriptors
    np.testing.assert_allclose(np.linalg.norm(stored, axis=1), 1, atol=1e-5)
    exact = localizer.matcher.extract(image, localizer.extractor.extract(image)).descriptors
    cosines = (stored * exact[opened.features["cells"][0]]).sum(axis=1)
    assert np.median(cosines) > 0.95
    assert cosines.min() > 0.9


def test_a_map_has_no_file_twice_and_its_keyframes_are_small(room_map: Path) -> None:
    opened = ReferenceMap.open(room_map)
    assert "descriptors.npy" not in opened.info.files
    files = ("local_features.npy", "keypoints.npy", "depth.npy")
    assert sum(opened.info.files[name].bytes for name in files) / len(opened) < 16_000


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
    with pytest.raises(MapError, match="build was interrupted"):
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


@pytest.mark.parametrize(
    "name", sorted({*READ_WHOLE} - {*USER_NETWORKS, *VISUAL_WORDS, *OTHER_LOCALIZERS, INDEX_DATABASE})
)
def test_opening_can_verify_files_before_it_reads_them(copy: Path, name: str) -> None:
    ReferenceMap.open(copy, verified=READ_WHOLE)
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(MapError, match=f"{name} has changed"):
        ReferenceMap.open(copy, verified=READ_WHOLE)


def change_info(path: Path, **values: object) -> None:
    """Writes other values, in a file that has no digest, as older releases did."""
    info = json.loads((path / "map.json").read_text())
    del info["digest"]
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


def test_a_changed_digit_in_map_json_is_found_and_a_map_without_digest_still_opens(copy: Path) -> None:
    text = (copy / "map.json").read_text()
    info = json.loads(text)
    cx = info["cameras"][0]["cx"]
    info["cameras"][0]["cx"] = cx + 10
    (copy / "map.json").write_text(json.dumps(info))
    with pytest.raises(MapError, match=r"map\.json has changed since the map was built"):
        ReferenceMap.open(copy)
    (copy / "map.json").write_text(text)
    assert ReferenceMap.open(copy).cameras[0].cx == cx
    change_info(copy)
    assert ReferenceMap.open(copy).info.digest is None


def rewrite_keyframes(folder: Path, column: str, value: float) -> None:
    """Changes a value of the second keyframe, which only the checksum reveals."""
    table = pq.read_table(folder / "keyframes.parquet")
    values = table[column].to_pylist()
    values[1] = value
    number = table.schema.get_field_index(column)
    table = table.set_column(number, table.schema.field(column), pa.array(values, table.schema.types[number]))
    pq.write_table(table, folder / "keyframes.parquet")
    files = json.loads((folder / "map.json").read_text())["files"]
    files["keyframes.parquet"]["bytes"] = (folder / "keyframes.parquet").stat().st_size
    change_info(folder, files=files)


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("x", float("nan"), "Keyframe 1 of .* has a pose that is not finite"),
        ("camera", 7, "a camera that is not in map.json"),
        ("camera", -1, "a camera that is not in map.json"),
        ("thumbnail_offset", 10**9, "a thumbnail outside of"),
        ("thumbnail_bytes", -5, "a thumbnail outside of"),
    ],
)
def test_impossible_values_are_refused(copy: Path, column: str, value: float, words: str) -> None:
    rewrite_keyframes(copy, column, value)
    with pytest.raises(MapError, match=words):
        ReferenceMap.open(copy)


@pytest.mark.parametrize("name", ["map.json", "keyframes.parquet"])
def test_a_pipe_is_refused_and_not_waited_for(copy: Path, name: str) -> None:
    (copy / name).unlink()
    os.mkfifo(copy / name)
    with pytest.raises(MapError, match=f"{name} is not a regular file|lacks {name}"):
        ReferenceMap.open(copy)


def test_a_thumbnail_that_says_to_be_huge_is_not_decoded(copy: Path) -> None:
    file = copy / "thumbnails.bin"
    data = bytearray(file.read_bytes())
    header = data.index(b"\xff\xc0")
    data[header + 5 : header + 9] = (30_000).to_bytes(2, "big") * 2
    opened = ReferenceMap.open(copy)
    assert max(opened.thumbnail(0).shape) == 200
    file.write_bytes(data)
    with pytest.raises(MapError, match=r"thumbnail of keyframe 0 .* damaged"):
        opened.thumbnail(0)
