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

"""Image packs: their contents, making and remaking them, and errors for unusable input."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pictures import depth_of, graded, readers_for, write_picture, write_pictures
from robotcar_run import RUN, write_run

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.depth.depth_maps import encode_depth
from scene_geo_loc.packs import chunks as pack_chunks
from scene_geo_loc.packs.image_pack import ImagePack, metres, packed_size, resize_depth, squash
from scene_geo_loc.packs.packing import make_pack
from scene_geo_loc.packs.sources import pack_triplets, pack_views, view_name
from scene_geo_loc.places.triplet_settings import TripletSettings
from scene_geo_loc.places.triplets import Sample, Triplet, TripletInfo, Triplets
from scene_geo_loc.places.views import View, open_cameras

pytestmark = pytest.mark.slow


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def nobody() -> list:
    raise AssertionError("the pack is there already")


def packed(folder: Path, pictures: list, **options: Any) -> ImagePack:
    options = {"workers": 1, "source": "pictures", **options}
    return make_pack(folder, pictures, lambda: readers_for(pictures), **options)


def test_images_and_depth_maps_are_resized_alike_and_found_by_name(tmp_path: Path) -> None:
    pack = packed(tmp_path / "pack", write_pictures(tmp_path / "in", 3))
    assert pack.names == ["0000", "0001", "0002"]
    for i in range(3):
        image, depth = pack.image(i), metres(pack.depth_centimetres(i))
        assert image.shape == (280, 373, 3)
        assert (image[..., 2] == i).all()
        known = np.isfinite(depth)
        red = (depth[known] - 1.0) / 0.1
        # A pixel of the small image is 4.7 pixels here, and 3.2 grey values.
        assert np.abs(red - image[known][:, 0]).max() < 3.5
        assert pack.known[i] == pytest.approx(known.mean(), abs=1e-4)
        assert 0.8 < known.mean() < 0.87
    assert pack.find("0002") == 2
    assert pack.find("0003") is None


@given(
    depth=hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=40),
        elements=st.one_of(st.just(np.nan), st.integers(1, 10_000).map(lambda cm: cm / 100)),
    ),
    height=st.integers(2, 50),
    width=st.integers(2, 50),
)
@settings(max_examples=40, deadline=None)
def test_a_resized_depth_map_has_only_depths_that_were_there_and_mixes_none(
    depth: Any, height: int, width: int
) -> None:
    small = resize_depth(depth, height, width)
    assert small.shape == (height, width)
    before = set(np.where(np.isnan(depth), 0, np.rint(100 * depth.astype(np.float64))).ravel().tolist())
    assert set(small.ravel().tolist()) <= before
    if (height, width) == depth.shape:
        np.testing.assert_allclose(metres(small), depth, atol=1e-5)


@given(height=st.integers(1, 3000), width=st.integers(1, 3000))
def test_the_short_side_becomes_280_pixels_and_the_aspect_stays(height: int, width: int) -> None:
    size = packed_size(height, width, squashed=False)
    assert min(size) == 280
    assert abs(size[0] * width - size[1] * height) <= max(height, width) / 2 + 1
    assert packed_size(height, width, squashed=True) == (224, 224)


def test_images_of_several_cameras_lie_in_one_pack(tmp_path: Path) -> None:
    wide, square = graded(60, 80, 1), graded(90, 90, 2)
    pictures = [
        write_picture(tmp_path, name, image, depth_of(image))
        for name, image in [("a", wide), ("b", square), ("c", wide)]
    ]
    of_wide, of_square = readers_for([pictures[0]]) + readers_for([pictures[1]], 90, 90)
    pack = make_pack(
        tmp_path / "pack", pictures, lambda: [of_wide, of_square, of_wide], source="x", workers=1
    )
    shapes = {name: pack.image(pack.find(name)).shape[:2] for name in "abc"}
    assert shapes == {"a": (280, 373), "b": (280, 280), "c": (280, 373)}
    assert [pack.image(pack.find(name))[0, 0, 2] for name in "abc"] == [1, 2, 1]
    assert pack.nbytes == 5 * (2 * 280 * 373 + 280 * 280)


def test_a_pack_to_test_with_has_squashed_images_and_no_depth_where_there_is_none(tmp_path: Path) -> None:
    pictures = [replace(picture, depth=None) for picture in write_pictures(tmp_path / "in", 4)]
    pack = packed(tmp_path / "pack", pictures, squashed=True)
    images = pack.images([3, 1])
    assert images.shape == (2, 224, 224, 3)
    np.testing.assert_array_equal(images[1], squash(graded(60, 80, 1)))
    assert pack.depth_centimetres(0) is None
    assert not pack.known.any()


def test_any_number_of_workers_makes_the_same_pack(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "in", 40, 30, 30)
    for workers in (1, 2):
        make_pack(
            tmp_path / str(workers),
            pictures,
            lambda: readers_for(pictures, 30, 30),
            source="x",
            workers=workers,
        )
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_a_pack_that_was_stopped_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = write_pictures(tmp_path / "in", 70)
    packed(tmp_path / "whole", pictures)

    def stop(done: int, total: int) -> None:
        assert (done, total) == (32, 70)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packed(tmp_path / "pack", pictures, on_progress=stop)
    with pytest.raises(SceneGeoLocError, match="no image pack"):
        ImagePack.open(tmp_path / "pack")
    with (tmp_path / "pack.partial" / "journal.jsonl").open("a") as journal:
        journal.write("[1, [0.5, 0.")  # the line that was being written
    read = []
    resize = pack_chunks.resize_image
    monkeypatch.setattr(
        pack_chunks, "resize_image", lambda image, *size: read.append(0) or resize(image, *size)
    )
    packed(tmp_path / "pack", pictures)
    assert len(read) == 38
    assert contents(tmp_path / "pack") == contents(tmp_path / "whole")
    assert not (tmp_path / "pack.partial").exists()


def test_a_full_disk_is_one_sentence_and_what_was_packed_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = write_pictures(tmp_path / "in", 70)
    write = pack_chunks.write_rows

    def full(path: Path, row: int, rows: np.ndarray) -> None:
        if row >= 32:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, row, rows)

    monkeypatch.setattr(pack_chunks, "write_rows", full)
    with pytest.raises(SceneGeoLocError, match="No space left on device; name another folder"):
        packed(tmp_path / "pack", pictures)
    monkeypatch.undo()
    told: list[int] = []
    packed(tmp_path / "pack", pictures, on_progress=lambda done, total: told.append(done))
    assert told == [64, 70]


def test_the_same_pictures_are_not_packed_again(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "in", 3)
    packed(tmp_path / "pack", pictures)
    pack = make_pack(tmp_path / "pack", pictures, nobody, source="pictures")
    assert len(pack) == 3


@pytest.mark.parametrize(
    "change", ["other pictures", "another image", "another depth map", "squashed", "damage"]
)
def test_a_stale_or_damaged_pack_is_made_anew(tmp_path: Path, change: str) -> None:
    pictures = write_pictures(tmp_path / "in", 3)
    pack, options = packed(tmp_path / "pack", pictures), {}
    if change == "other pictures":
        pictures = pictures[1:]
    elif change == "another image":
        write_picture(tmp_path / "in", "0001", graded(60, 80, 99), None)
    elif change == "another depth map":
        pictures[1].depth.write_bytes(encode_depth(np.full((60, 80), 5, np.float32)))
    elif change == "squashed":
        options = {"squashed": True}
    else:
        (pack.folder / pack.info.stacks[0].images_file).write_bytes(b"\x93NUMPY")
        with pytest.raises(SceneGeoLocError, match="damaged"):
            ImagePack.open(pack.folder)
    anew = packed(tmp_path / "pack", pictures, **options)
    assert (anew.info.digest == pack.info.digest) == (change == "damage")
    expected = {"other pictures": [1, 2], "another image": [0, 99, 2]}.get(change, [0, 1, 2])
    assert [int(anew.image(i)[0, 0, 2]) for i in range(len(anew))] == expected
    if change == "another depth map":
        assert (anew.depth_centimetres(1) == 500).all()
    assert [file.name for file in tmp_path.iterdir() if file.is_dir()].count("pack") == 1
    assert not list(tmp_path.glob("pack.*"))


def test_a_folder_with_something_else_in_it_stays_as_it_is(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "in", 1)
    with pytest.raises(SceneGeoLocError, match="is no image pack and is not replaced"):
        packed(tmp_path / "in", pictures)
    assert len(list((tmp_path / "in").iterdir())) == 2


def test_a_picture_named_twice_is_packed_once(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "in", 2)
    assert packed(tmp_path / "pack", [*pictures, pictures[0]]).names == ["0000", "0001"]


def test_images_that_cannot_be_used_are_left_out_and_counted(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "in", 4)
    pictures[0].image.write_bytes(b"no image")
    write_picture(tmp_path / "in", "0002", graded(40, 40), None)
    pack = packed(tmp_path / "pack", pictures)
    assert pack.names == ["0001", "0003"]
    assert [int(pack.image(i)[0, 0, 2]) for i in range(2)] == [1, 3]
    assert pack.info.left_out == {
        "images that cannot be read": 1,
        "images of another size than the camera's": 1,
    }
    for picture in pictures:
        picture.image.unlink()
    with pytest.raises(SceneGeoLocError, match="none of 4 images can be packed"):
        packed(tmp_path / "pack", pictures)


USELESS = {
    "missing or no grey PNG": lambda depth: b"",
    "of another size": lambda depth: encode_depth(depth[:, 1:]),
    "without a known pixel": lambda depth: encode_depth(np.full_like(depth, np.nan)),
    "another unit": lambda depth: cv2.imencode(".png", (1000 * np.nan_to_num(depth)).astype(np.uint16))[
        1
    ].tobytes(),
}


@pytest.mark.parametrize("why", USELESS)
def test_a_useless_depth_map_is_counted_and_where_most_are_the_pack_is_refused(
    tmp_path: Path, why: str
) -> None:
    pictures = write_pictures(tmp_path / "in", 3)
    useless = USELESS[why](depth_of(graded(60, 80)))
    pictures[1].depth.write_bytes(useless)
    pack = packed(tmp_path / "pack", pictures)
    (reason,) = pack.info.left_out
    assert why in reason
    assert pack.depth_centimetres(1) is None
    assert (pack.known > 0).tolist() == [True, False, True]
    pictures[2].depth.write_bytes(useless)
    with pytest.raises(SceneGeoLocError, match=f"only 1 of 3 depth maps are usable.*{why}"):
        packed(tmp_path / "pack", pictures)
    assert ImagePack.open(tmp_path / "pack").info.digest == pack.info.digest


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "damaged"), (json.dumps({"format": "x"}), "damaged")],
)
def test_a_damaged_description_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    pack = packed(tmp_path / "pack", write_pictures(tmp_path / "in", 1))
    (pack.folder / "pack.json").write_text(text)
    with pytest.raises(SceneGeoLocError, match=message):
        ImagePack.open(pack.folder)


def test_a_pack_of_a_later_version_is_refused(tmp_path: Path) -> None:
    pack = packed(tmp_path / "pack", write_pictures(tmp_path / "in", 1))
    later = pack.info.model_copy(update={"format_version": 2})
    (pack.folder / "pack.json").write_text(later.model_dump_json())
    with pytest.raises(SceneGeoLocError, match="version 2 and this release reads up to 1"):
        ImagePack.open(pack.folder)


def test_triplets_and_views_of_a_robotcar_run_are_packed_as_its_cameras_see_them(tmp_path: Path) -> None:
    write_run(tmp_path, cameras=("stereo/centre", "mono_left"))
    cameras = open_cameras(tmp_path, RUN)
    frames = {name: cameras[name].frame_files[:3] for name in ("stereo/centre", "mono_left")}

    def sample(camera: str, i: int) -> Sample:
        files = frames[camera][i]
        height, width = files.camera.height, files.camera.width
        depth = tmp_path / "depth" / f"{camera.replace('/', '_')}{i}.png"
        depth.parent.mkdir(exist_ok=True)
        depth.write_bytes(encode_depth(np.full((height, width), 7.0, np.float32)))
        return Sample(
            RUN,
            camera,
            files.stamp_ns,
            files.image.relative_to(tmp_path).as_posix(),
            np.eye(4),
            depth.relative_to(tmp_path).as_posix(),
        )

    triplet = Triplet(sample("stereo/centre", 0), [sample("mono_left", 0)], [sample("mono_left", 1)])
    info = TripletInfo(
        runs=[RUN],
        triplets=1,
        settings=TripletSettings(triplets=1, positives=1, negatives=1),
        areas={},
        left_out={},
    )
    pack = pack_triplets(Triplets(tmp_path, info, [triplet]), tmp_path / "pack", workers=1)
    assert set(pack.names) == {s.image for s in triplet.samples}
    i = pack.find(triplet.anchor.image)
    expected = cameras["stereo/centre"].read_image(frames["stereo/centre"][0].image)
    np.testing.assert_array_equal(cv2.resize(expected, (373, 280)), pack.image(i))
    assert (pack.depth_centimetres(i) == 700).all()

    views = [View(RUN, camera, files[2], cameras[camera]) for camera, files in frames.items()]
    tests = pack_views(views, tmp_path / "views", workers=1)
    assert tests.names == [view_name(view) for view in views]
    np.testing.assert_array_equal(tests.images([1])[0], squash(views[1].read()))
