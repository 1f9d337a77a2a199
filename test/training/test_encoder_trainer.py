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

"""Training an encoder by distillation: its crops, the decrease of the loss, and resumed runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from typer.testing import CliRunner

from scene_geo_loc.cli.main import app
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.architecture.encoders import ENCODERS
from scene_geo_loc.networks.architecture.encoders.efficientnet_lite0 import EfficientNetLite0
from scene_geo_loc.networks.architecture.weights import METADATA_KEY
from scene_geo_loc.packs.image_pack import ImagePack
from scene_geo_loc.packs.sources import pack_images
from scene_geo_loc.training.common.protocols import EncoderProtocol
from scene_geo_loc.training.encoder.batches import HELD_OUT, CropBatches
from scene_geo_loc.training.encoder.trainer import WEIGHTS, Student, Teacher, encoder_training

pytestmark = pytest.mark.slow

PROTOCOL = EncoderProtocol(steps=6, images=2, side=96, warm_up=2, record_every=3)


def write_images(folder: Path, count: int, size: tuple[int, int] = (120, 90)) -> None:
    """Pictures of soft random colours."""
    folder.mkdir()
    rng = np.random.default_rng(count)
    for number in range(count):
        coarse = rng.uniform(0, 255, (6, 8, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC))


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> ImagePack:
    root = tmp_path_factory.mktemp("images")
    write_images(root / "photos", 5)
    return pack_images(root / "photos", root / "pack")


def test_images_of_any_sizes_are_packed_and_what_is_no_image_is_left_out(tmp_path: Path) -> None:
    write_images(tmp_path / "photos", 2)
    write_images(tmp_path / "photos" / "more", 3, (80, 100))
    (tmp_path / "photos" / "broken.jpg").write_bytes(b"broken")
    pack = pack_images(tmp_path / "photos", tmp_path / "pack")
    assert sorted(pack.names) == ["0.png", "1.png", "more/0.png", "more/1.png", "more/2.png"]
    assert {pack.image(i).shape for i in range(5)} == {(280, 373, 3), (350, 280, 3)}
    assert pack.info.left_out == {"images that cannot be read": 1}


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SceneGeoLocError, match="no image files"):
        pack_images(tmp_path / "empty", tmp_path / "pack")


def test_a_batch_follows_from_seed_and_number_alone(pack: ImagePack) -> None:
    batches = CropBatches([pack], images=3, side=96, seed=7)
    first = batches.batch(4)
    batches.batch(5)
    assert first.shape == (3, 96, 96, 3)
    np.testing.assert_array_equal(CropBatches([pack], 3, 96, 7).batch(4), first)
    assert not np.array_equal(CropBatches([pack], 3, 96, 8).batch(4), first)


def test_held_out_images_are_not_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_images(tmp_path / "photos", HELD_OUT + 2, (32, 32))
    pack = pack_images(tmp_path / "photos", tmp_path / "pack")
    asked: list[int] = []
    read = ImagePack.image
    monkeypatch.setattr(ImagePack, "image", lambda self, i: asked.append(i) or read(self, i))
    batches = CropBatches([pack], images=100, side=96, seed=0)
    batches.batch(0)
    learned_from, asked[:] = set(asked), []
    assert len(batches.held_out(64)) == 2
    assert set(asked) == {0, HELD_OUT}
    assert not learned_from & set(asked)


def test_the_teacher_s_maps_begin_with_those_of_the_encoder() -> None:
    teacher, encoder = Teacher().eval(), EfficientNetLite0().eval()
    teacher.load_imagenet_weights()
    encoder.load_imagenet_weights()
    images = torch.randn(1, 3, 96, 128, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        maps, expected = teacher.maps(images), encoder(images)
    assert torch.equal(maps[8], expected.early)
    assert torch.equal(maps[16], expected.late)
    assert maps[32].shape == (1, 320, 3, 4)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("alexnet", {8: (40, 11, 11), 16: (112, 5, 5)}),
        ("resnet18", {8: (40, 12, 12), 16: (112, 6, 6), 32: (320, 3, 3)}),
        ("resnet18_truncated", {8: (40, 12, 12), 16: (112, 6, 6)}),
    ],
)
def test_a_student_learns_the_map_of_each_of_its_strides(name: str, shapes: dict) -> None:
    student = Student(ENCODERS[name]())
    for _ in range(2):  # what a forward pass has seen does not stay for the next one
        given = student(torch.zeros(2, 3, 96, 96))
        assert {stride: tuple(map_.shape[1:]) for stride, map_ in given.items()} == shapes


class Callback:
    """Remembers steps and records, and calls `at_step` with the number of each step."""

    def __init__(self, at_step: Callable[[int], None] = lambda step: None) -> None:
        self.steps: list[int] = []
        self.records: list[dict[str, Any]] = []
        self._at_step = at_step

    def on_batch(self, epoch: int, done: int, total: int, losses: dict[str, float]) -> None:
        self.steps.append((epoch - 1) * total + done)
        self._at_step(self.steps[-1])

    def on_epoch(self, record: dict[str, Any]) -> None:
        self.records.append(record)


def log_of(run: Path) -> list[dict[str, Any]]:
    """The records of a run without the times it took."""
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in record.items() if name not in ("seconds", "images_a_second")}
        for record in records
    ]


def test_a_student_explains_more_of_the_teacher_with_every_record(pack: ImagePack, tmp_path: Path) -> None:
    protocol = PROTOCOL.model_copy(update={"steps": 24, "images": 4, "record_every": 12})
    callback = Callback()
    encoder_training("alexnet", [pack], tmp_path / "run", protocol, "cpu", callback).run()
    first, second = callback.records
    for stride in ("stride 8", "stride 16"):
        assert second["losses"][stride] < first["losses"][stride]
    weights = tmp_path / "run" / WEIGHTS
    with safe_open(str(weights), framework="pt") as file:
        description = json.loads(file.metadata()[METADATA_KEY])
    assert description["encoder"] == "alexnet"
    assert description["provenance"]["steps"] == 24
    assert description["provenance"]["images"] == ["photos: 5"]
    ENCODERS["alexnet"]().load_weights(weights)


@pytest.mark.parametrize("name", ["alexnet", "resnet18_truncated"])
def test_an_interrupted_run_goes_on_to_the_same_weights(name: str, pack: ImagePack, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    def kill(step: int) -> None:
        if step == 5:
            raise Killed

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    encoder_training(name, [pack], whole, PROTOCOL, "cpu").run()
    with pytest.raises(Killed):
        encoder_training(name, [pack], killed, PROTOCOL, "cpu", Callback(kill)).run()
    resumed = Callback()
    encoder_training(name, [pack], killed, PROTOCOL, "cpu", resumed).run()
    assert resumed.steps == [4, 5, 6]
    expected, got = ENCODERS[name](), ENCODERS[name]()
    expected.load_weights(whole / WEIGHTS)
    got.load_weights(killed / WEIGHTS)
    for key, value in expected.state_dict().items():
        torch.testing.assert_close(got.state_dict()[key], value, rtol=0, atol=0)
    assert log_of(killed) == log_of(whole)


def test_a_finished_run_is_not_taught_again(pack: ImagePack, tmp_path: Path) -> None:
    protocol = PROTOCOL.model_copy(update={"steps": 1})
    encoder_training("alexnet", [pack], tmp_path / "run", protocol, "cpu").run()
    before = (tmp_path / "run" / WEIGHTS).stat().st_mtime_ns
    callback = Callback()
    encoder_training("alexnet", [pack], tmp_path / "run", protocol, "cpu", callback).run()
    assert callback.steps == []
    assert (tmp_path / "run" / WEIGHTS).stat().st_mtime_ns == before


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_weights(
    pack: ImagePack, tmp_path: Path
) -> None:
    def spoil(step: int) -> None:
        if step == 3:
            next(loop.trainer.module.parameters()).data.fill_(torch.nan)

    loop = encoder_training("alexnet", [pack], tmp_path / "run", PROTOCOL, "cpu", Callback(spoil))
    with pytest.raises(SceneGeoLocError, match="not finite in epoch 2, batch 1 of 3"):
        loop.run()
    # The weights that `spoil` changed are those of the record after step 3.
    assert (tmp_path / "run" / WEIGHTS).is_file()


@pytest.mark.parametrize("name", ["efficientnet_lite0", "vgg"])
def test_who_cannot_be_taught_is_said(name: str, pack: ImagePack, tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match="choose one of alexnet, resnet18, resnet18_truncated"):
        encoder_training(name, [pack], tmp_path / "run", PROTOCOL, "cpu")


def test_the_run_of_another_protocol_is_not_gone_on_with(pack: ImagePack, tmp_path: Path) -> None:
    encoder_training("alexnet", [pack], tmp_path / "run", PROTOCOL, "cpu").run()
    other = PROTOCOL.model_copy(update={"seed": 1})
    with pytest.raises(SceneGeoLocError, match="another training run"):
        encoder_training("alexnet", [pack], tmp_path / "run", other, "cpu")


def test_the_command_packs_the_images_and_writes_the_weights(tmp_path: Path) -> None:
    write_images(tmp_path / "photos", 3)
    out = tmp_path / "run"
    command = ["train", "encoder", "alexnet", str(out), str(tmp_path / "photos"), "--steps", "1"]
    result = CliRunner().invoke(app, [*command, "--images", "2", "--side", "96", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert f"{out / WEIGHTS}: weights of alexnet after 1 steps" in result.output
    ENCODERS["alexnet"]().load_weights(out / WEIGHTS)


def test_the_command_refuses_a_learning_rate_of_zero(tmp_path: Path) -> None:
    command = ["train", "encoder", "alexnet", str(tmp_path / "run"), str(tmp_path), "--learning-rate", "0"]
    with pytest.raises(SceneGeoLocError, match="--learning-rate: Input should be greater than 0"):
        CliRunner().invoke(app, command, catch_exceptions=False)
