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

"""The training loop's states, also those of older versions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.training.common.loop import EpochProgress
from scene_geo_loc.training.common.run_folder import TrainingState


def trained(seed: int, steps: int = 0) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A layer and its optimiser after some steps."""
    torch.manual_seed(seed)
    module = nn.Linear(2, 1)
    optimiser = torch.optim.Adam(module.parameters(), 0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        module(torch.ones(1, 2)).sum().backward()
        optimiser.step()
    return module, optimiser


def stepped(module: nn.Module, optimiser: torch.optim.Optimizer) -> torch.Tensor:
    """The weights of a layer after one more step."""
    optimiser.zero_grad()
    module(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    return module.weight.detach().clone()  # type: ignore[operator,union-attr]


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["weights.", "learner.", "network.", "student."])
def test_a_state_is_restored_whatever_its_version_called_the_weights(prefix: str) -> None:
    module, optimiser = trained(0, steps=3)
    state = TrainingState.of(module, optimiser, {})
    renamed = {
        prefix + name.removeprefix("weights.") if name.startswith("weights.") else name: value.clone()
        for name, value in state.tensors.items()
    }
    other, its_optimiser = trained(1)
    TrainingState(renamed, {}).restore(other, its_optimiser)
    assert torch.equal(stepped(other, its_optimiser), stepped(module, optimiser))


def test_a_state_of_another_network_is_refused_in_one_sentence() -> None:
    state = TrainingState.of(*trained(0, steps=1), {})
    other = nn.Linear(3, 1)
    with pytest.raises(CheckpointError, match="does not fit its network") as raised:
        state.restore(other, torch.optim.Adam(other.parameters()))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("progress", "epoch"),
    [
        ({"epoch": 0}, 1),  # depth trainings wrote the epochs done
        ({"epoch": 3}, 4),
        ({"step": 10}, 3),  # encoder trainings the steps done, here 5 for each record
        ({"step": 13}, 4),
        ({"number": 2, "batches": 7, "steps": 6, "images": 60, "seconds": 1.5, "sums": {"image": 0.5}}, 2),
    ],
)
def test_the_progress_of_every_version_is_read(progress: dict, epoch: int) -> None:
    assert EpochProgress.read(progress, batches=5).number == epoch


def test_the_record_of_an_epoch_has_the_mean_losses_of_its_steps() -> None:
    progress = EpochProgress.read({"number": 2, "steps": 1, "sums": {"image": 0.5}}, batches=5)
    assert progress.record["losses"] == {"image": 0.5}
    assert progress.record["epoch"] == 2
