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
"""Maps of images with holes: what a hole shows gives no features, no depth and no descriptor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cells_network import write_cells_network
from room import Room

from scene_geo_loc.mapping.builder import BuilderSettings, MapBuilder
from scene_geo_loc.mapping.reference_map import ReferenceMap
from scene_geo_loc.mapping.waiting_keyframes import FrameRejection
from scene_geo_loc.matchers.storage import PLACE_SCALE
from scene_geo_loc.networks.architecture.export import inference_network
from scene_geo_loc.networks.architecture.network_config import NetworkConfig
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.checkpoint import load_network
from scene_geo_loc.networks.default import default_network
from scene_geo_loc.networks.descriptor_head import POOLING_HEADS
from scene_geo_loc.networks.runtime.extractor import Extractor
from scene_geo_loc.traversals.frame import Frame
from scene_geo_loc.traversals.holes import away_from_holes, without_holes

HOLE = (slice(30, 90), slice(50, 120))


def visible_of(frame: Frame, *box: slice) -> np.ndarray:
    visible = np.ones(frame.image.shape[:2], bool)
    visible[box] = False
    return visible


def spoilt(frame: Frame, seed: int) -> Frame:
    """A frame whose hole shows noise, with a depth."""
    visible = visible_of(frame, *HOLE)
    noise = np.random.default_rng(seed).integers(0, 256, frame.image.shape, np.uint8)
    return replace(frame, image=np.where(visible[..., None], frame.image, noise), visible=visible)


def build(out: Path, frames: list[Frame], network: Path | None = None, **settings: object) -> ReferenceMap:
    options = BuilderSettings(keyframe_distance_m=0, **settings)  # type: ignore[arg-type]
    builder = MapBuilder(out, options, device="cpu", network=network)
    for frame in frames:
        builder.add_frame(frame)
    return ReferenceMap.open(builder.finish())


def contents(built: ReferenceMap) -> dict[str, bytes]:
    """All files of a map but those with the pictures and the time."""
    left_out = ("map.json", "thumbnails.bin", "keyframes.parquet")
    return {file.name: file.read_bytes() for file in built.path.iterdir() if file.name not in left_out}


def pixels_with_depth(built: ReferenceMap, k: int) -> np.ndarray:
    """The pixels (F, 2) of a keyframe's features that have depth, in its image."""
    known = np.isfinite(built.depth[k])
    if "cells" in built.features:
        network, _ = load_network(built.path / "network.safetensors")
        centres = network.cell_centres()[built.features["cells"][k][known]]
        return (centres + 0.5) * (160 / network.input_width) - 0.5
    return (built.features["keypoints"][k][known] + 0.5) / PLACE_SCALE * (160, 120) - 0.5


def test_a_mask_of_all_pixels_changes_nothing(room: Room, tmp_path: Path) -> None:
    frames = room.drive(2)
    masked = [replace(frame, visible=visible_of(frame, slice(0), slice(0))) for frame in frames]
    assert contents(build(tmp_path / "all", frames)) == contents(build(tmp_path / "masked", masked))


@pytest.mark.parametrize(("kind", "depth"), [("keypoints", "measured"), ("cells", "auto")])
def test_a_map_does_not_depend_on_what_is_in_a_hole(
    room: Room, tmp_path: Path, kind: str, depth: str
) -> None:
    network = write_cells_network(tmp_path / "cells.safetensors") if kind == "cells" else None
    frames = room.drive(3)
    if depth == "auto":
        frames = [replace(frame, depth=None) for frame in frames]
    maps = [
        build(tmp_path / str(seed), [spoilt(frame, seed) for frame in frames], network, depth=depth)
        for seed in (0, 1)
    ]
    assert contents(maps[0]) == contents(maps[1])
    away = away_from_holes(visible_of(frames[0], *HOLE))
    for k in range(len(maps[0])):
        pixels = pixels_with_depth(maps[0], k)
        column, row = np.round(pixels).astype(int).T
        assert len(pixels) > 20
        assert away[row, column].all()


def test_the_descriptor_of_an_image_with_a_hole_is_nearer_to_the_whole_images(room: Room) -> None:
    network, _ = default_network()
    extractor = Extractor(network.with_input_for(160, 120).with_descriptor_size(None), "cpu")
    extractor.fit([extractor.extract(frame.image).pooled for frame in room.drive(2)])
    frame = room.frame(-2.0, 0.0, 0.0)
    visible = visible_of(frame, slice(0, 120), slice(0, 70))
    black = np.where(visible[..., None], frame.image, np.uint8(0))
    whole, plain, masked = (
        extractor.extract(image, visible=mask).global_descriptor
        for image, mask in (
            (frame.image, None),
            (black, None),
            (without_holes(black, visible), visible),
        )
    )
    assert whole is not None
    assert whole @ masked > whole @ plain + 0.05


@pytest.mark.parametrize("pooling", sorted(POOLING_HEADS))
def test_hidden_cells_are_not_pooled(pooling: str) -> None:
    config = NetworkConfig(encoder="efficientnet_lite0", pooling=pooling, descriptor_size=16)
    network = inference_network(SceneNetwork(config))
    channels = network.signature.parts[0].stage.channels
    rng = np.random.default_rng(0)
    maps = [[rng.random((6, 8, channels), np.float32)] for _ in range(3)]
    hidden = [[late.copy() for late in parts] for parts in maps]
    for (late,) in hidden:
        late[:3] = np.nan
    seen = [[late[3:] for late in parts] for parts in maps]
    fitted, fitted_of_seen = network.fit(hidden), network.fit(seen)
    for parts, of_seen in zip(hidden, seen, strict=True):
        np.testing.assert_array_equal(fitted.describe(parts), fitted_of_seen.describe(of_seen))


def test_place_keypoints_are_of_what_is_seen(room: Room, tmp_path: Path) -> None:
    frames = [replace(frame, visible=visible_of(frame, *HOLE)) for frame in room.drive(2)]
    stored = build(tmp_path / "map", frames).place_keypoints
    assert stored is not None
    height, width = frames[0].image.shape[:2]
    for row in stored:
        used = row[row[:, 2:].any(axis=1)]
        x, y = (used[:, :2] + 0.5).T * [[width / 256], [height / 256]]
        in_hole = (
            (y >= HOLE[0].start + 4)
            & (y < HOLE[0].stop - 4)
            & (x >= HOLE[1].start + 4)
            & (x < HOLE[1].stop - 4)
        )
        assert len(used) > 20
        assert not in_hole.any()


def test_frames_that_show_nothing_or_have_a_mask_of_another_size_are_counted(
    room: Room, tmp_path: Path
) -> None:
    frame = room.drive(1)[0]
    builder = MapBuilder(tmp_path / "map", device="cpu")
    builder.add_frame(replace(frame, visible=np.zeros(frame.image.shape[:2], bool)))
    builder.add_frame(replace(frame, visible=np.ones((4, 4), bool)))
    assert builder.progress.skipped.counts == {
        FrameRejection.NO_CONTRAST.value: 1,
        FrameRejection.WRONG_SIZE.value: 1,
    }
    builder.abandon()
