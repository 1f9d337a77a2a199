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

"""Training descriptors by triplets, with tiny networks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_training
import torch
from safetensors.torch import load_file
from tiny_training import PROTOCOL, RandomBatches, Silent, tiny_learner, tiny_loop, tiny_system

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.architecture.checkpoint import load_checkpoint
from scene_geo_loc.networks.architecture.depth_scale import DEPTH_SCALES
from scene_geo_loc.networks.checkpoint import GRAPH
from scene_geo_loc.training.common.protocols import Precision
from scene_geo_loc.training.descriptor.learners import DepthLearner, coloured, set_modes
from scene_geo_loc.training.descriptor.trainer import DescriptorTrainer

pytestmark = pytest.mark.slow

STATE = "checkpoints/training_state.safetensors"


class Death(BaseException):
    """Ends a program at once."""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def without_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their drawing takes most of a tiny run's time."""
    monkeypatch.setattr(DescriptorTrainer, "draw", lambda trainer, folder, records: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not interrupted."""
    torch.set_num_threads(1)
    out = tmp_path_factory.mktemp("runs") / "whole"
    tiny_loop(out).run()
    return out


def weights(run: Path, name: str = "last") -> dict[str, torch.Tensor]:
    tensors = load_file(run / f"checkpoints/{name}.safetensors")
    return {key: value for key, value in tensors.items() if key != GRAPH}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_leaves_networks_that_any_command_can_load(whole: Path) -> None:
    for name in ("best", "last"):
        network, provenance = load_checkpoint(whole / f"checkpoints/{name}.safetensors")
        assert network.config == tiny_system().network
        assert provenance["epoch"] in (1, 2)
        assert len(provenance["validation_recall_at_n"]) == 5


def test_a_run_leaves_config_log_curves_and_result_and_no_more(whole: Path) -> None:
    names = {str(path.relative_to(whole)) for path in whole.rglob("*") if path.is_file()}
    checkpoints = {"checkpoints/best.safetensors", "checkpoints/last.safetensors"}
    assert names == {"config.yaml", "log.jsonl", "curves.png", "result.json"} | checkpoints


def test_losses_fall(tmp_path: Path, without_curves: None) -> None:
    callback = Silent()
    tiny_loop(tmp_path, protocol=PROTOCOL.model_copy(update={"epochs": 6}), callback=callback).run()
    first, last = callback.records[1]["losses"], callback.records[-1]["losses"]
    assert set(first) == {"image", "depth", "joint", "depth map"}
    assert last["joint"] < first["joint"]
    assert last["depth map"] < first["depth map"]


def test_a_run_that_dies_at_one_file_or_another_comes_to_the_same_weights(
    whole: Path, tmp_path: Path, without_curves: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, left = Path.replace, 0

    def replace_or_die(path: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left == 0:
            raise Death
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", replace_or_die)
    deaths = 0
    for at in range(1, 100, 3):
        out, left = tmp_path / str(at), at
        try:
            tiny_loop(out).run()
            break
        except Death:
            deaths += 1
        tiny_loop(out).run()
        assert equal(weights(out), weights(whole))
        assert equal(weights(out, "best"), weights(whole, "best"))
    assert deaths > 5


def test_a_run_that_is_killed_comes_to_the_same_weights(whole: Path, tmp_path: Path) -> None:
    command = [sys.executable, tiny_training.__file__, str(tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([*command, "--die-at", "9"], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "run/result.json").exists()
    assert (tmp_path / "run" / STATE).is_file()
    subprocess.run(command, env=environment, check=True)
    assert equal(weights(tmp_path / "run"), weights(whole))


def test_a_finished_run_is_not_trained_again(whole: Path) -> None:
    callback = Silent()
    assert tiny_loop(whole, callback=callback).run()["epochs"] == 2
    assert callback.records == []


class BrokenBatches(RandomBatches):
    """The second batch of the second epoch has an image that makes the loss infinite."""

    def __init__(self, learner: torch.nn.Module) -> None:
        self._learner = learner

    def epoch(self, number: int, first: int = 0) -> Any:
        for k, batch in enumerate(super().epoch(number, first), start=first):
            if (number, k) == (2, 1):
                with torch.no_grad():
                    next(self._learner.network.encoder.third.parameters()).fill_(torch.nan)
            yield batch


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good_network(
    tmp_path: Path, without_curves: None
) -> None:
    learner = tiny_learner()
    with pytest.raises(
        SceneGeoLocError, match=r"not finite in epoch 2, batch 2 of 3 .*smaller learning rate"
    ):
        tiny_loop(tmp_path, learner, batches=BrokenBatches(learner)).run()
    kept = weights(tmp_path)
    assert all(value.isfinite().all() for value in kept.values())
    assert load_checkpoint(tmp_path / "checkpoints/best.safetensors")[1]["epoch"] == 1


def test_training_ends_when_patience_does(tmp_path: Path, without_curves: None) -> None:
    # With steps this small no epoch is better than the first.
    still = PROTOCOL.model_copy(
        update={"epochs": 9, "patience": 2, "learning_rate": 1e-12, "decoder_learning_rate": 1e-12}
    )
    learner = tiny_learner(tiny_system("rgb"))
    result = tiny_loop(tmp_path, learner, still).run()
    assert (result["best_epoch"], result["epochs"]) == (1, 3)
    assert result["ended"] == "no better validation for 2 epochs"


def test_without_validation_the_last_epoch_is_the_best(tmp_path: Path, without_curves: None) -> None:
    result = tiny_loop(tmp_path, validated=False).run()
    assert result["best_epoch"] == 2
    assert equal(weights(tmp_path, "best"), weights(tmp_path))


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_only_what_is_to_be_trained_changes(whole: Path) -> None:
    begun = tiny_learner().network.state_dict()
    parts = {name.rsplit(".", 2)[0] for name in changed(begun, weights(whole))}
    assert not any(name.startswith(("encoder.first", "encoder.second")) for name in parts)
    assert any(name.startswith("encoder.third") for name in parts)
    assert any(name.startswith("descriptor.second_encoder.first") for name in parts)
    assert any(name.startswith("descriptor.decoder") for name in parts)


def test_running_statistics_of_encoders_stay_and_those_of_the_decoder_move(whole: Path) -> None:
    begun = tiny_learner().network.state_dict()
    moved = {name for name in changed(begun, weights(whole)) if "running" in name}
    assert moved
    assert all(name.startswith("descriptor.decoder") for name in moved)


def test_by_the_authors_the_encoders_statistics_are_those_of_the_batch(
    tmp_path: Path, without_curves: None
) -> None:
    protocol = PROTOCOL.model_copy(update={"encoder_batch_norm": "batch", "epochs": 1})
    tiny_loop(tmp_path, protocol=protocol).run()
    moved = {
        name for name in changed(tiny_learner().network.state_dict(), weights(tmp_path)) if "running" in name
    }
    assert any(name.startswith("encoder.") for name in moved)


def gradients(system: Any, wanted: str) -> dict[str, bool]:
    """Returns which weights of the decoder and of the encoder's head have a gradient of one loss alone."""
    learner = tiny_learner(system)
    learner.freeze_the_rest()
    set_modes(learner, "running")
    batch = next(iter(RandomBatches().epoch(1)))
    outputs = learner(batch.images.flatten(0, 1), batch.depth.flatten(0, 1))
    loss = outputs.losses[wanted] if wanted in outputs.losses else outputs.descriptors[wanted].sum()
    loss.backward()
    named = dict(learner.network.named_parameters())
    return {
        part: any(w.grad is not None and bool(w.grad.any()) for n, w in named.items() if n.startswith(prefix))
        for part, prefix in (("decoder", "descriptor.decoder"), ("head", "encoder.third"))
    }


def test_the_depth_loss_reaches_the_decoder_and_not_the_encoder() -> None:
    assert gradients(tiny_system(), "depth map") == {"decoder": True, "head": False}


def test_the_depth_descriptor_reaches_the_decoder_by_smooth_colours_alone() -> None:
    assert gradients(tiny_system(), "depth") == {"decoder": False, "head": False}
    assert gradients(tiny_system(colouring="smooth"), "depth") == {"decoder": True, "head": False}


def test_rgb_plus_has_no_depth_loss_and_its_decoder_learns_by_triplets() -> None:
    assert gradients(tiny_system("rgb_plus"), "depth") == {"decoder": True, "head": False}
    learner = tiny_learner(tiny_system("rgb_plus"))
    batch = next(iter(RandomBatches().epoch(1)))
    assert learner(batch.images.flatten(0, 1), batch.depth.flatten(0, 1)).losses == {}


@pytest.mark.parametrize("network", [{"uncertainty": True}, {"fusion": "gated"}, {"colouring": "smooth"}])
def test_each_switch_trains(tmp_path: Path, without_curves: None, network: dict[str, Any]) -> None:
    learner = tiny_learner(tiny_system(**network))
    result = tiny_loop(tmp_path, learner, PROTOCOL.model_copy(update={"epochs": 1})).run()
    assert result["epochs"] == 1


@pytest.mark.parametrize("mine_before_forward", [True, False])
def test_bfloat16_trains_to_finite_float32_weights(
    tmp_path: Path, without_curves: None, mine_before_forward: bool
) -> None:
    changes = {"precision": Precision.BFLOAT16, "mine_before_forward": mine_before_forward, "epochs": 1}
    tiny_loop(tmp_path, protocol=PROTOCOL.model_copy(update=changes)).run()
    kept = [value for value in weights(tmp_path).values() if value.is_floating_point()]
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in kept)


def test_mining_before_or_after_the_forward_pass_trains_the_same_without_batch_norms(
    tmp_path: Path, without_curves: None
) -> None:
    """With the encoders' running statistics a descriptor does not depend on the other images of its batch."""
    system = tiny_system("rgb")
    for mined in (True, False):
        changes = {"mine_before_forward": mined, "epochs": 1}
        tiny_loop(tmp_path / str(mined), tiny_learner(system), PROTOCOL.model_copy(update=changes)).run()
    before, after = weights(tmp_path / "True"), weights(tmp_path / "False")
    assert all(torch.allclose(before[name], after[name], atol=1e-5) for name in before)


def test_a_depth_network_learns_from_coloured_depth_with_all_its_weights(
    tmp_path: Path, without_curves: None
) -> None:
    network = tiny_learner(tiny_system("rgb")).network
    begun = {name: value.clone() for name, value in network.state_dict().items()}
    tiny_loop(tmp_path, DepthLearner(network), validated=False).run()
    assert any(name.startswith("encoder.first") for name in changed(begun, weights(tmp_path)))


def test_depth_is_coloured_from_blue_near_to_red_far_and_unknown_is_far() -> None:
    red, _, blue = coloured(torch.tensor([[[5.0, 95.0, 1000.0, torch.nan]]]), DEPTH_SCALES["linear"])[0, 0].T
    assert blue[0] > red[0]
    assert (red[1:] > blue[1:]).all()
    assert red[2] == red[3]


def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    """Each has one of a batch's two triplets, and their gradients are averaged."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run(
        [*command, tiny_training.__file__, str(tmp_path / "two")], env=environment, check=True, timeout=110
    )
    learner = tiny_learner(tiny_system("rgb"))
    tiny_loop(tmp_path / "one", learner).run()
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)


def test_a_full_disk_leaves_the_last_state_whole(
    tmp_path: Path, without_curves: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(Silent):
        """After the first epoch nothing can be written any more."""

        def on_epoch(self, record: dict[str, Any]) -> None:
            if record["epoch"] == 1:
                monkeypatch.setattr(Path, "write_bytes", self.fail)

        @staticmethod
        def fail(path: Path, data: bytes) -> int:
            path.touch()
            raise OSError(28, "No space left on device")

    with pytest.raises(SceneGeoLocError, match="cannot be written: No space left on device"):
        tiny_loop(tmp_path, callback=Full()).run()
    monkeypatch.undo()
    state = tiny_loop(tmp_path).folder.load_state()
    assert state is not None
    assert state.progress["number"] == 2
