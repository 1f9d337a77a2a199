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

"""Mini-batches of triplets: their contents and their reproducibility."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import readers_for, write_pictures

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.packs.image_pack import ImagePack
from scene_geo_loc.packs.packing import make_pack
from scene_geo_loc.places.triplet_settings import TripletSettings
from scene_geo_loc.places.triplets import Sample, Triplet, TripletInfo, Triplets
from scene_geo_loc.training.descriptor.batches import BatchSettings, TripletBatch, TripletBatches

pytestmark = pytest.mark.slow

COUNT, POSITIVES, NEGATIVES = 5, 3, 4
EACH = 1 + POSITIVES + NEGATIVES


def triplets_of(count: int = COUNT) -> Triplets:
    """Triplets of images 0000, 0001, ..., one after the other."""
    samples = [Sample("run", "camera", i, f"{i:04d}", np.eye(4), None) for i in range(count * EACH)]
    items = []
    for begin in range(0, count * EACH, EACH):
        of = samples[begin : begin + EACH]
        items.append(Triplet(of[0], of[1 : 1 + POSITIVES], of[1 + POSITIVES :]))
    asked = TripletSettings(triplets=count, positives=POSITIVES, negatives=NEGATIVES)
    return Triplets(
        Path(), TripletInfo(runs=["run"], triplets=count, settings=asked, areas={}, left_out={}), items
    )


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> ImagePack:
    """Images whose blue is their number."""
    folder: Path = tmp_path_factory.mktemp("triplet_batches")
    pictures = write_pictures(folder / "in", COUNT * EACH, 30, 40)
    return make_pack(folder / "pack", pictures, lambda: readers_for(pictures, 30, 40), source="x", workers=1)


def names(batch: TripletBatch) -> list[list[int]]:
    """The numbers of the images of each triplet."""
    return batch.images[:, :, 0, 0, 2].tolist()


def test_a_batch_has_anchors_then_positives_then_negatives_each_drawn_once(pack: ImagePack) -> None:
    batches = TripletBatches(pack, triplets_of(), BatchSettings(2, 2, 3), seed=0)
    assert len(batches) == 3
    seen = list(batches.epoch(0))
    assert [len(batch.numbers) for batch in seen] == [2, 2, 1]
    for batch in seen:
        count = len(batch.numbers)
        assert (batch.images.shape, batch.images.dtype) == ((count, 6, 224, 224, 3), torch.uint8)
        assert (batch.depth.shape, batch.depth.dtype) == ((count, 6, 224, 224), torch.float32)
        for number, (anchor, *others) in zip(batch.numbers, names(batch), strict=True):
            begin = number * EACH
            assert anchor == begin
            assert len(set(others)) == 5
            assert set(others[:2]) <= set(range(begin + 1, begin + 1 + POSITIVES))
            assert set(others[2:]) <= set(range(begin + 1 + POSITIVES, begin + EACH))
    assert sorted(number for batch in seen for number in batch.numbers) == list(range(COUNT))


def test_depth_is_that_of_the_image_pixel_by_pixel(pack: ImagePack) -> None:
    batch = next(TripletBatches(pack, triplets_of(), BatchSettings(3, 2, 2), seed=0).epoch(0))
    known = torch.isfinite(batch.depth)
    red = (batch.depth[known] / 0.8 - 1.0) / 0.1
    # A pixel of the image of 40 pixels is 6.5 grey values.
    assert (red - batch.images[known][:, 0]).abs().max() < 7
    assert 0.7 < known.float().mean() < 0.95


def test_another_epoch_or_another_seed_has_another_order_other_images_and_other_crops(
    pack: ImagePack,
) -> None:
    def drawn(seed: int, epoch: int) -> TripletBatch:
        return next(TripletBatches(pack, triplets_of(), BatchSettings(COUNT, 2, 2), seed).epoch(epoch))

    first = drawn(0, 0)
    for other in (drawn(0, 1), drawn(1, 0), drawn(1, 1)):
        assert other.numbers != first.numbers
        by_number = [dict(zip(batch.numbers, names(batch), strict=True)) for batch in (first, other)]
        assert any(set(by_number[0][n]) != set(by_number[1][n]) for n in range(COUNT))
        assert (other.images[:, 0, 0, 0, :2] != first.images[:, 0, 0, 0, :2]).any()


def test_every_positive_and_negative_has_its_turn(pack: ImagePack) -> None:
    batches = TripletBatches(pack, triplets_of(1), BatchSettings(1, 1, 1), seed=0)
    seen = {tuple(names(next(batches.epoch(epoch)))[0]) for epoch in range(40)}
    assert {positive for _, positive, _ in seen} == {1, 2, 3}
    assert {negative for _, _, negative in seen} == {4, 5, 6, 7}


@given(
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 1000),
    size=st.integers(1, COUNT + 1),
    threads=st.integers(1, 4),
    first=st.integers(0, COUNT),
    augmentation=st.booleans(),
)
@settings(max_examples=12, deadline=None)
def test_whatever_the_threads_and_wherever_begun_a_batch_follows_from_seed_and_epoch(
    pack: ImagePack, seed: int, epoch: int, size: Any, threads: int, first: int, augmentation: Any
) -> None:
    def batches(threads: int) -> TripletBatches:
        return TripletBatches(pack, triplets_of(), BatchSettings(size, 1, 2, augmentation, threads), seed)

    whole = list(batches(1).epoch(epoch))
    rest = list(batches(threads).epoch(epoch, first))
    assert len(rest) == max(0, len(batches(1)) - first)
    for expected, batch in zip(whole[first:], rest, strict=True):
        assert batch.numbers == expected.numbers
        assert torch.equal(batch.images, expected.images)
        torch.testing.assert_close(batch.depth, expected.depth, rtol=0, atol=0, equal_nan=True)


def test_augmentation_makes_each_image_of_a_triplet_another_way(pack: ImagePack) -> None:
    plain, changed = (
        next(TripletBatches(pack, triplets_of(), BatchSettings(2, 2, 2, augmentation), 7).epoch(3))
        for augmentation in (False, True)
    )
    assert plain.numbers == changed.numbers
    torch.testing.assert_close(plain.depth, changed.depth, equal_nan=True)
    ratios = changed.images.float().mean(dim=(2, 3, 4)) / plain.images.float().mean(dim=(2, 3, 4))
    assert len(ratios.flatten().unique()) == ratios.numel()


def test_drawing_may_end_in_the_middle_of_an_epoch(pack: ImagePack) -> None:
    batches = TripletBatches(pack, triplets_of(), BatchSettings(1, 1, 1), seed=0)
    begun: Any = batches.epoch(0)
    assert len(list(islice(begun, 2))) == 2
    begun.close()
    assert len(list(batches.epoch(0))) == COUNT


def test_triplets_whose_images_could_not_be_packed_are_left_out_and_counted(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "in", 3 * EACH, 30, 40)
    for lost in (0, EACH + 1, EACH + 2, 2 * EACH + 1):  # an anchor, two positives, and one
        pictures[lost].image.unlink()
    pack = make_pack(
        tmp_path / "pack", pictures, lambda: readers_for(pictures, 30, 40), source="x", workers=1
    )
    batches = TripletBatches(pack, triplets_of(3), BatchSettings(9, 2, 4), seed=0)
    assert batches.left_out.counts == {"triplets with images that could not be packed": 2}
    (batch,) = batches.epoch(0)
    assert batch.numbers == (2,)
    assert sorted(names(batch)[0][1:3]) == [2 * EACH + 2, 2 * EACH + 3]


def test_what_cannot_be_drawn_is_one_sentence(pack: ImagePack) -> None:
    with pytest.raises(SceneGeoLocError, match="triplets have 3 positives each and the protocol needs 4"):
        TripletBatches(pack, triplets_of(), BatchSettings(2, 4, 2), seed=0)
    with pytest.raises(SceneGeoLocError, match="negatives each and the protocol needs 5"):
        TripletBatches(pack, triplets_of(), BatchSettings(2, 1, 5), seed=0)
    others = triplets_of()
    renamed = [
        Triplet(Sample("run", "camera", 0, "elsewhere", np.eye(4), None), t.positives, t.negatives)
        for t in others.items
    ]
    with pytest.raises(SceneGeoLocError, match="of none of the 5 triplets: make the pack from the same file"):
        TripletBatches(pack, Triplets(others.root, others.info, renamed), BatchSettings(2, 1, 1), seed=0)
