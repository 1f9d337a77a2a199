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

"""Pairs of image and depth map without a location: their discovery and mixing."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import depth_of, graded, readers_for, write_picture, write_pictures
from robotcar_run import RUN, write_run
from trees import open_folder

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.depth.depth_maps import FORMAT, DepthMap, encode_depth
from scene_geo_loc.packs.image_pack import ImagePack, metres
from scene_geo_loc.packs.packing import make_pack
from scene_geo_loc.packs.sources import pack_pairs
from scene_geo_loc.training.depth.batches import PairBatches, PairSettings

pytestmark = pytest.mark.slow

CAMERAS = ("stereo/centre", "mono_rear")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run with two cameras, each of which has depth maps of three images beside the run."""
    folder = write_run(tmp_path, cameras=CAMERAS)
    for k, camera in enumerate(CAMERAS):
        traversal = open_folder(folder, camera=camera)
        out = tmp_path / "depth" / RUN / camera
        out.mkdir(parents=True)
        maps = []
        for i, files in enumerate(traversal.frame_files[:3]):
            png, size = f"{files.stamp_ns}.png", (files.camera.height, files.camera.width)
            (out / png).write_bytes(encode_depth(np.full(size, 5.0 + 10 * k + i, np.float32)))
            image = files.image.relative_to(folder).as_posix()
            maps.append(DepthMap(files.stamp_ns, image, files.T_map_camera, files.camera, png, 1.0).to_dict())
        index = {"version": FORMAT.version, "source": str(folder), "maps": maps}
        (out / "index.json").write_text(json.dumps(index))
    return folder


def depths(pack: ImagePack) -> list[float]:
    """The depth that each map has everywhere."""
    found = [metres(pack.depth_centimetres(i)) for i in range(len(pack))]
    assert all((depth == depth[0, 0]).all() for depth in found)
    return sorted(float(depth[0, 0]) for depth in found)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (RUN, [5, 6, 7, 15, 16, 17]),
        ("depth", [5, 6, 7, 15, 16, 17]),
        (f"depth/{RUN}", [5, 6, 7, 15, 16, 17]),
        (f"depth/{RUN}/mono_rear", [15, 16, 17]),
    ],
)
def test_pairs_are_found_for_a_run_in_a_folder_of_depth_maps_and_in_folders_of_those(
    run: Path, tmp_path: Path, source: str, expected: list[float]
) -> None:
    pack = pack_pairs([tmp_path / source], tmp_path / "pack", workers=1)
    assert depths(pack) == expected
    i = pack.find(f"{RUN}/mono_rear/{min((run / 'mono_rear').iterdir()).name}")
    rear = open_folder(run, camera="mono_rear")
    raw = rear.read_image(rear.frame_files[0].image)
    assert np.abs(pack.image(i)[::35, ::35].astype(int) - raw[::8, ::8]).mean() < 12


def test_as_many_pairs_are_taken_as_asked_for_and_the_seed_decides_which(run: Path, tmp_path: Path) -> None:
    def taken(seed: int) -> tuple[str, ...]:
        pack = pack_pairs([run], tmp_path / "pack", count=2, seed=seed, workers=1, squashed=True)
        assert pack.image(0).shape == (224, 224, 3)
        return tuple(pack.names)

    drawn = [taken(seed) for seed in range(5)]
    assert {len(set(names)) for names in drawn} == {2}
    assert len(set(drawn)) > 1
    assert taken(0) == drawn[0]


def test_where_there_are_no_pairs_one_sentence_says_what_to_do(run: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(SceneGeoLocError, match=r"there are no depth maps in .*; make them"):
        pack_pairs([tmp_path / "nothing"], tmp_path / "pack")
    run.rename(tmp_path / "moved")
    with pytest.raises(SceneGeoLocError, match="which does not exist"):
        pack_pairs([tmp_path / "depth"], tmp_path / "pack")


def test_depth_maps_of_a_bag_are_refused(run: Path, tmp_path: Path) -> None:
    index = tmp_path / "depth" / RUN / "mono_rear" / "index.json"
    (tmp_path / "night.mcap").touch()
    index.write_text(json.dumps(json.loads(index.read_text()) | {"source": str(tmp_path / "night.mcap")}))
    with pytest.raises(SceneGeoLocError, match=r"in the bag .*, and only folders of image files"):
        pack_pairs([index.parent], tmp_path / "pack")


def some(folder: Path, numbers: range) -> ImagePack:
    """A pack of images whose blue is their number."""
    images = {i: graded(30, 40, i) for i in numbers}
    pictures = [
        write_picture(folder / "in", f"{i:04d}", image, depth_of(image)) for i, image in images.items()
    ]
    return make_pack(folder / "pack", pictures, lambda: readers_for(pictures, 30, 40), source="x", workers=1)


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> ImagePack:
    """Images 0 to 9."""
    return some(tmp_path_factory.mktemp("night"), range(10))


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> ImagePack:
    """Images 100 to 103."""
    return some(tmp_path_factory.mktemp("day"), range(100, 104))


def numbers(images: torch.Tensor) -> list[int]:
    return images[:, 0, 0, 2].tolist()


def test_pairs_of_one_pack_have_their_turn_once_an_epoch_in_another_order_each_time(night: ImagePack) -> None:
    pairs = PairBatches([night], PairSettings(5), seed=0)
    orders = []
    for epoch in range(3):
        batches = list(pairs.epoch(epoch))
        assert len(batches) == len(pairs) == 2
        for batch in batches:
            assert (batch.images.shape, batch.images.dtype) == ((5, 224, 224, 3), torch.uint8)
            assert (batch.depth.shape, batch.depth.dtype) == ((5, 224, 224), torch.float32)
            known = torch.isfinite(batch.depth)
            assert ((batch.depth[known] / 0.8 - 1.0) / 0.1 - batch.images[known][:, 0]).abs().max() < 7
        orders.append([i for batch in batches for i in numbers(batch.images)])
        assert sorted(orders[-1]) == list(range(10))
    assert len(set(map(tuple, orders))) == 3


def test_a_mixture_has_half_of_each_and_a_small_pack_goes_round(night: ImagePack, day: ImagePack) -> None:
    pairs = PairBatches([night, day], PairSettings(4), seed=1)
    batches = list(pairs.epoch(0))
    assert len(batches) == 5
    by_night = [i for batch in batches for i in numbers(batch.images)[:2]]
    by_day = [i for batch in batches for i in numbers(batch.images)[2:]]
    assert sorted(by_night) == list(range(10))
    assert set(by_day) == {100, 101, 102, 103}
    assert set(Counter(by_day).values()) == {2, 3}


def test_an_odd_batch_has_one_more_of_the_first_pack(night: ImagePack, day: ImagePack) -> None:
    for batch in PairBatches([day, night], PairSettings(3), seed=0).epoch(0):
        assert [i >= 100 for i in numbers(batch.images)] == [True, True, False]


def test_a_pack_smaller_than_a_batch_still_gives_one(day: ImagePack) -> None:
    (batch,) = PairBatches([day], PairSettings(6), seed=0).epoch(0)
    assert set(numbers(batch.images)) == {100, 101, 102, 103}


@given(
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 1000),
    size=st.integers(2, 7),
    threads=st.integers(1, 4),
    first=st.integers(0, 5),
    augmentation=st.booleans(),
)
@settings(max_examples=12, deadline=None)
def test_whatever_the_threads_and_wherever_begun_a_batch_follows_from_seed_and_epoch(
    night: ImagePack,
    day: ImagePack,
    seed: int,
    epoch: int,
    size: Any,
    threads: int,
    first: int,
    augmentation: Any,
) -> None:
    whole = list(PairBatches([night, day], PairSettings(size, augmentation), seed).epoch(epoch))
    rest = list(
        PairBatches([night, day], PairSettings(size, augmentation, threads), seed).epoch(epoch, first)
    )
    for expected, batch in zip(whole[first:], rest, strict=True):
        assert torch.equal(batch.images, expected.images)
        torch.testing.assert_close(batch.depth, expected.depth, rtol=0, atol=0, equal_nan=True)


def test_what_cannot_be_mixed_is_one_sentence(night: ImagePack, day: ImagePack, tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match="1 pairs a batch < 2 sets of pairs"):
        PairBatches([night, day], PairSettings(1), seed=0)
    pictures = [
        write_picture(tmp_path / "in", picture.name, graded(30, 40), None)
        for picture in write_pictures(tmp_path / "in", 2, 30, 40)
    ]
    blind = make_pack(
        tmp_path / "pack", pictures, lambda: readers_for(pictures, 30, 40), source="x", workers=1
    )
    with pytest.raises(SceneGeoLocError, match="the pack has no depth maps"):
        PairBatches([night, blind], PairSettings(4), seed=0)
