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

"""Training a decoder: frozen weights stay, day images keep their accuracy, and a stopped run is resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_training import tiny_system
from torch import Tensor

from scene_geo_loc.core.errors import CheckpointError, SceneGeoLocError
from scene_geo_loc.metrics.learned_depth import DepthEstimator, Pair, compare_depth, decoder_of
from scene_geo_loc.networks.architecture.checkpoint import digest, load_checkpoint, save_checkpoint
from scene_geo_loc.networks.architecture.decoders import DECODERS
from scene_geo_loc.networks.architecture.scene_network import NetworkConfig, SceneNetwork
from scene_geo_loc.training.common.initialisation import network_for_depth
from scene_geo_loc.training.common.loop import TrainingLoop
from scene_geo_loc.training.common.protocols import DepthLoss, DepthProtocol, Freeze
from scene_geo_loc.training.common.run_folder import RunFolder
from scene_geo_loc.training.depth.batches import PairBatch
from scene_geo_loc.training.depth.trainer import DepthTrainer

pytestmark = pytest.mark.slow

SIDE = 32
DECODER = "descriptor.decoder."
QUICK = DepthProtocol(learning_rate=2e-3, encoder_learning_rate=1e-3, weight_decay=0.0)


def network(descriptor: str = "rgbtd", **config: Any) -> SceneNetwork:
    """A network whose untrained encoder separates bright from dark, with batch norms set to scenes."""
    made = deepcopy(_network_once(descriptor, *config.items()))
    torch.manual_seed(0)
    return made


@cache
def _network_once(descriptor: str, *config: tuple[str, Any]) -> SceneNetwork:
    torch.manual_seed(0)
    made = SceneNetwork(
        NetworkConfig(
            descriptor=descriptor,
            pooling="mac",
            depth_encoder="efficientnet_lite0",
            input_width=SIDE,
            input_height=SIDE,
            **dict(config),
        )
    )
    norms = [module for module in made.encoder.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the mean over all batches
    with torch.no_grad():
        for images, _ in Toy((True, False), 1, 24).epoch(0):
            made.encoder(made.normalise(images.float()))
    return made.eval()


def tiny_network() -> SceneNetwork:
    """A network of a tiny encoder, for tests of the loop: its checkpoints are written in moments."""
    torch.manual_seed(0)
    return SceneNetwork(tiny_system().network).eval()


def scene(night: bool, rng: np.random.Generator) -> Pair:
    """A wall before a road: the nearer the wall, the brighter by day, and the darker by night."""
    share = rng.uniform(0.1, 0.9)
    level = 40 + 180 * (1 - share)
    image = np.full((SIDE, SIDE, 3), (255 - level) / 3 if night else level)
    image += rng.normal(0, 4, image.shape)
    depth = np.full((SIDE, SIDE), 60 * share, np.float32)
    depth[: SIDE // 4] = np.nan
    return image.clip(0, 255).astype(np.uint8), depth


def scenes(night: bool, count: int, seed: int) -> list[Pair]:
    rng = np.random.default_rng(seed)
    return [scene(night, rng) for _ in range(count)]


class Toy:
    """Batches of scenes, each share of them by night or by day."""

    def __init__(self, nights: tuple[bool, ...], batches: int, size: int = 8) -> None:
        self._nights, self._batches, self._size = nights, batches, size

    def __len__(self) -> int:
        return self._batches

    def epoch(self, number: int, first: int = 0) -> Iterator[PairBatch]:
        rng = np.random.default_rng([7, number])
        for _ in range(first, self._batches):
            pairs = [scene(self._nights[i % len(self._nights)], rng) for i in range(self._size)]
            images, depth = (np.stack(of) for of in zip(*pairs, strict=True))
            yield PairBatch(torch.from_numpy(images), torch.from_numpy(depth))


def batch(night: bool = False) -> PairBatch:
    return next(Toy((night,), 1).epoch(0))


def weights(of: SceneNetwork) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in of.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {key for key, value in before.items() if not torch.equal(value, after[key])}


@pytest.mark.parametrize("freeze", [Freeze.DESCRIPTOR, Freeze.ENCODER])
def test_frozen_is_frozen_bit_for_bit_batch_norms_too(freeze: Freeze) -> None:
    trained = network()
    before = weights(trained)
    trainer = DepthTrainer(trained, freeze, QUICK)
    for _ in range(3):
        trainer.learn(*batch())
    moved = changed(before, weights(trained))
    assert all(key.startswith(DECODER) for key in moved)
    assert moved == {key for key in before if key.startswith(DECODER)}
    assert not trained.training


def test_with_a_frozen_trunk_the_encoders_head_learns_too() -> None:
    trained = network()
    before = weights(trained)
    trainer = DepthTrainer(trained, Freeze.TRUNK, QUICK)
    for _ in range(3):
        trainer.learn(*batch())
    moved = changed(before, weights(trained))
    head = {id(weight) for module in trained.encoder.head_modules() for weight in module.parameters()}
    head_names = {name for name, weight in trained.named_parameters() if id(weight) in head}
    assert head_names
    assert {key for key in moved if not key.startswith(DECODER)} == head_names


def test_what_a_frozen_image_descriptor_says_does_not_change() -> None:
    trained = network()
    images = trained.eval().normalise(batch().images.float())
    before = trained.describe_images(images).parts[0]
    trainer = DepthTrainer(trained, Freeze.DESCRIPTOR, QUICK)
    trainer.learn(*batch())
    after = trained.describe_images(images)
    assert torch.equal(before, after.parts[0])


@pytest.fixture(scope="module")
def by_day() -> dict[str, Tensor]:
    """The weights of a network that has learned depth by day."""
    trained = network()
    trainer = DepthTrainer(trained, Freeze.ENCODER, QUICK)
    for images, depth in Toy((False,), 60).epoch(0):
        trainer.learn(images, depth)
    return weights(trained)


def errors(of: SceneNetwork) -> tuple[float, float]:
    """Mean absolute relative errors by night and by day."""
    conditions = {"night": scenes(True, 12, 1), "day": scenes(False, 12, 2)}
    compared = compare_depth([DepthEstimator("net", of, "cpu")], conditions)
    night, day = (compared.errors[name]["net"].summary()["abs_rel"] for name in ("night", "day"))
    assert night is not None
    assert day is not None
    return night, day


def test_day_pairs_in_each_batch_keep_the_day_from_being_forgotten(by_day: dict[str, Tensor]) -> None:
    after = {}
    for name, nights in (("night alone", (True,)), ("mixed", (True, False))):
        tuned = network()
        tuned.load_state_dict(by_day)
        night_before, day_before = errors(tuned)
        trainer = DepthTrainer(tuned, Freeze.DESCRIPTOR, QUICK)
        for images, depth in Toy(nights, 40).epoch(1):
            trainer.learn(images, depth)
        after[name] = errors(tuned)
    assert after["mixed"][0] < 0.5 * night_before
    assert after["mixed"][1] < 1.2 * day_before
    assert after["night alone"][1] > 1.3 * after["mixed"][1]


def test_an_uncertain_decoder_learns_its_scale(tmp_path: Path) -> None:
    trained = network(uncertainty=True)
    trainer = DepthTrainer(trained, Freeze.ENCODER, QUICK)
    losses = [trainer.learn(images, depth) for images, depth in Toy((False,), 25).epoch(0)]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


class StopAfter:
    """Interrupts a training once the record of an epoch is written."""

    def __init__(self, epoch: int | None) -> None:
        self._epoch = epoch

    def on_batch(self, epoch: int, done: int, total: int, losses: dict[str, float]) -> None:
        pass

    def on_epoch(self, record: dict[str, Any]) -> None:
        if record["epoch"] == self._epoch:
            raise KeyboardInterrupt


def run_in(folder: Path, epochs: int = 3, stop_after: int | None = None) -> dict[str, Any]:
    """A short run; `stop_after` interrupts it after that epoch."""
    protocol = QUICK.model_copy(update={"epochs": epochs})
    validation = {"night": scenes(True, 3, 1)}
    return TrainingLoop(
        DepthTrainer(tiny_network(), Freeze.ENCODER, protocol, validation, {"trained": "depth"}),
        Toy((True, False), 3),
        RunFolder(folder, {"trained": "depth"}),
        epochs=epochs,
        callback=StopAfter(stop_after),
    ).run()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A run that was not interrupted, and its result."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return folder, run_in(folder)


def log_of(run: Path) -> list[dict[str, Any]]:
    """The records of a run without the times it took."""
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in record.items() if name not in ("seconds", "images_a_second")}
        for record in records
    ]


def test_a_run_that_was_cut_off_goes_on_to_the_same_result(
    whole: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DepthTrainer, "draw", lambda trainer, folder, records: None)  # takes most of the time
    run, result = whole
    with pytest.raises(KeyboardInterrupt):
        run_in(tmp_path / "cut", stop_after=1)
    resumed = run_in(tmp_path / "cut")
    assert {**resumed, "seconds": 0} == {**result, "seconds": 0}
    assert log_of(tmp_path / "cut") == log_of(run)
    for name in ("best", "last"):
        one, other = (
            load_checkpoint(folder / "checkpoints" / f"{name}.safetensors")[0]
            for folder in (run, tmp_path / "cut")
        )
        assert digest(one) == digest(other)


def test_a_run_that_has_ended_is_not_trained_again(whole: tuple[Path, dict[str, Any]]) -> None:
    run, result = whole
    before = {file: file.stat().st_mtime_ns for file in run.rglob("*.safetensors")}
    assert before
    assert run_in(run) == result
    assert {file: file.stat().st_mtime_ns for file in run.rglob("*.safetensors")} == before


def test_a_run_shows_what_the_network_makes_of_each_condition(whole: tuple[Path, dict[str, Any]]) -> None:
    picture = cv2.imread(str(whole[0] / "depth.png"))
    assert picture is not None
    assert min(picture.shape[:2]) > 100


def test_a_run_logs_each_epoch_from_before_training_on_and_keeps_the_best(
    whole: tuple[Path, dict[str, Any]],
) -> None:
    run, result = whole
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [0, 1, 2, 3]
    assert records[0]["losses"] == {}
    assert records[3]["losses"]["depth map"] < records[1]["losses"]["depth map"]
    most = max(record["validation"]["night"]["within_1_25"] for record in records)
    assert result["validation"]["night"]["within_1_25"] == most
    _, provenance = load_checkpoint(run / "checkpoints" / "best.safetensors")
    assert provenance["epoch"] == result["best_epoch"]
    assert (run / "curves.png").stat().st_size > 0


def test_the_score_of_an_epoch_is_its_share_of_right_depth_over_the_conditions() -> None:
    def score(*shares: float) -> float | None:
        return trainer.score(
            {"validation": {str(i): {"within_1_25": share} for i, share in enumerate(shares)}}
        )

    trainer = DepthTrainer(network(), Freeze.ENCODER, QUICK)
    assert score(0.5, 0.4) == pytest.approx(0.45)
    assert score() is None


def test_without_validation_the_last_epoch_is_the_best(tmp_path: Path) -> None:
    trainer = DepthTrainer(tiny_network(), Freeze.ENCODER, QUICK)
    folder = RunFolder(tmp_path / "run", {})
    assert TrainingLoop(trainer, Toy((False,), 1), folder, epochs=2).run()["best_epoch"] == 2


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_network_before(tmp_path: Path) -> None:
    trainer = DepthTrainer(tiny_network(), Freeze.ENCODER, QUICK)

    class Broken(Toy):
        def epoch(self, number: int, first: int = 0) -> Iterator[PairBatch]:
            for k, (images, depth) in enumerate(super().epoch(number, first)):
                broken = number == 2 and k == 1
                yield PairBatch(images.float() * (float("inf") if broken else 1.0), depth)

    loop = TrainingLoop(trainer, Broken((False,), 3), RunFolder(tmp_path / "run", {}), epochs=4)
    with pytest.raises(SceneGeoLocError, match=r"not finite in epoch 2, batch 2 of 3") as raised:
        loop.run()
    last = tmp_path / "run" / "checkpoints" / "last.safetensors"
    assert str(last) in str(raised.value)
    kept, provenance = load_checkpoint(last)
    assert provenance["epoch"] == 1
    assert all(value.isfinite().all() for value in kept.state_dict().values())


def begun_from(path: Path, freeze: Freeze, seed: int = 0, **new_decoder: Any) -> SceneNetwork:
    return network_for_depth(str(path), freeze, seed, new_decoder)[0]


@pytest.mark.parametrize("descriptor", ["rgb", "rgb_plus"])
def test_a_network_without_a_depth_decoder_cannot_be_fine_tuned(descriptor: str, tmp_path: Path) -> None:
    save_checkpoint(network(descriptor), tmp_path / "net.safetensors", {})
    with pytest.raises(CheckpointError, match=f"has no depth decoder to fine-tune.*'{descriptor}'") as raised:
        begun_from(tmp_path / "net.safetensors", Freeze.DESCRIPTOR)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_network_that_describes_images_gets_depth_beside_it_and_describes_as_before(
    decoder: str, tmp_path: Path
) -> None:
    before = network("rgb").with_descriptor_size(8)
    before.fit_projection(np.random.default_rng(0).normal(size=(20, 112)).astype(np.float32))
    save_checkpoint(before, tmp_path / "rgb.safetensors", {})
    begun = begun_from(tmp_path / "rgb.safetensors", Freeze.ENCODER, decoder=decoder)
    assert (begun.config.descriptor, begun.config.decoder) == ("rgb_depth", decoder)
    assert begun.is_fitted
    images = begun.normalise(batch().images.float())
    with torch.inference_mode():
        one, other = before.eval()(images), begun(images)
    assert torch.equal(one.global_descriptor, other.global_descriptor)
    assert torch.equal(one.local_features, other.local_features)
    assert other.depth is not None


@pytest.mark.parametrize("descriptor", ["rgb_plus", "hallucination"])
def test_a_descriptor_that_has_no_place_for_depth_gets_none(descriptor: str, tmp_path: Path) -> None:
    save_checkpoint(network(descriptor), tmp_path / "net.safetensors", {})
    with pytest.raises(CheckpointError, match=f"descriptor '{descriptor}', which infers no depth"):
        begun_from(tmp_path / "net.safetensors", Freeze.ENCODER)


def test_where_the_encoder_learns_nothing_else_is_kept_and_places_are_to_be_fitted_anew(
    tmp_path: Path,
) -> None:
    before = network("rgb").with_descriptor_size(8)
    before.fit_projection(np.random.default_rng(0).normal(size=(20, 112)).astype(np.float32))
    save_checkpoint(before, tmp_path / "rgb.safetensors", {})
    begun = begun_from(tmp_path / "rgb.safetensors", Freeze.NOTHING)
    assert not begun.is_fitted
    for key, value in begun.encoder.state_dict().items():
        assert torch.equal(value, before.state_dict()[f"encoder.{key}"])


def test_training_can_begin_with_a_system_of_the_package() -> None:
    begun, origin = network_for_depth("pnlp_fc", Freeze.NOTHING, 0, {})
    assert (begun.config.encoder, begun.config.decoder) == ("pnlp", "fc")
    assert origin["system"].startswith("PnLP")


def test_a_new_network_begins_with_weights_of_a_file_and_a_trained_one_keeps_its_own(tmp_path: Path) -> None:
    given = network_for_depth("pnlp_fc", Freeze.NOTHING, 1, {})[0]
    file = tmp_path / "encoder.safetensors"
    save_file({key: value.contiguous() for key, value in given.encoder.state_dict().items()}, file)
    begun, _ = network_for_depth("pnlp_fc", Freeze.ENCODER, 0, {}, file)
    for key, value in begun.encoder.state_dict().items():
        assert torch.equal(value, given.encoder.state_dict()[key])
    save_checkpoint(network("rgbtd"), tmp_path / "net.safetensors", {})
    with pytest.raises(CheckpointError, match=r"weights of its own.*leave out --weights"):
        network_for_depth(str(tmp_path / "net.safetensors"), Freeze.ENCODER, 0, {}, file)


@pytest.mark.parametrize("descriptor", ["rgb", "rgbtd"])
def test_a_new_decoder_can_have_another_depth_scale(descriptor: str, tmp_path: Path) -> None:
    save_checkpoint(network(descriptor), tmp_path / "net.safetensors", {})
    begun = begun_from(tmp_path / "net.safetensors", Freeze.ENCODER, seed=3, depth_scale="linear")
    assert begun.config.depth_scale == "linear"


@pytest.mark.parametrize(
    ("freeze", "scale", "message"),
    [
        (Freeze.DESCRIPTOR, "linear", "has the depth scale log, which fine-tuning keeps"),
        (Freeze.ENCODER, "cubic", "unknown depth_scale 'cubic'; known are linear, log"),
    ],
)
def test_a_depth_scale_that_cannot_be_is_refused(
    freeze: Freeze, scale: str, message: str, tmp_path: Path
) -> None:
    save_checkpoint(network(), tmp_path / "net.safetensors", {})
    with pytest.raises(SceneGeoLocError, match=message):
        begun_from(tmp_path / "net.safetensors", freeze, depth_scale=scale)


def test_a_new_decoder_follows_from_the_seed_and_the_rest_stays(tmp_path: Path) -> None:
    original = network()
    save_checkpoint(original, tmp_path / "net.safetensors", {})
    one, same, other = (
        weights(begun_from(tmp_path / "net.safetensors", Freeze.ENCODER, seed)) for seed in (1, 1, 2)
    )
    assert not changed(one, same)
    assert changed(one, other)
    assert all(key.startswith(DECODER) for key in changed(weights(original), one))


def test_a_fine_tuning_goes_on_from_the_checkpoints_decoder(tmp_path: Path) -> None:
    original = network()
    save_checkpoint(original, tmp_path / "net.safetensors", {})
    begun = begun_from(tmp_path / "net.safetensors", Freeze.DESCRIPTOR, seed=5)
    assert decoder_of(begun) is not None
    assert not changed(weights(original), weights(begun))


@pytest.mark.parametrize("decoder", DECODERS)
def test_depth_in_metres_is_learned_at_each_level(decoder: str) -> None:
    trained = network("rgb_depth", decoder=decoder, depth_scale="inverse")
    trainer = DepthTrainer(trained, Freeze.NOTHING, QUICK.model_copy(update={"depth_loss": DepthLoss.METRES}))
    before = weights(trained)
    losses = [trainer.learn(images, depth) for images, depth in Toy((False,), 40).epoch(0)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    learned = changed(before, weights(trained))
    assert any(key.startswith("encoder.conv_stem") for key in learned)
    assert any(key.startswith(DECODER) for key in learned)


def test_another_runs_folder_is_refused(whole: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(SceneGeoLocError, match="holds another training run"):
        RunFolder(whole[0], {"trained": "something else"})
