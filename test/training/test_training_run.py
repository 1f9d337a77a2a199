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

"""Training runs from data to run folder, with tiny networks and random triplets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_training import PROTOCOL, SIZE, RandomBatches, Silent, random_validation, tiny_system

from scene_geo_loc.core.errors import CheckpointError, SceneGeoLocError
from scene_geo_loc.metrics.learned_depth import decoder_of
from scene_geo_loc.networks.architecture.checkpoint import load_checkpoint, save_checkpoint
from scene_geo_loc.networks.architecture.scene_network import NetworkConfig, SceneNetwork
from scene_geo_loc.training.common.config import SystemConfig
from scene_geo_loc.training.common.initialisation import first_weights, fit_poolings, new_network
from scene_geo_loc.training.common.loop import Position, Step
from scene_geo_loc.training.common.processes import Processes
from scene_geo_loc.training.descriptor import run as training_run
from scene_geo_loc.training.descriptor.run import TrainingData, TrainingRun
from scene_geo_loc.training.descriptor.trainer import DescriptorTrainer

pytestmark = pytest.mark.slow

RUNS = SimpleNamespace(runs=["monday", "tuesday"])


class Callback(Silent):
    """Remembers stages as well."""

    def __init__(self) -> None:
        super().__init__()
        self.stages: list[str] = []

    def packing(self, title: str) -> AbstractContextManager[Callable[[int, int], None]]:
        return nullcontext(lambda done, total: None)

    def on_stage(self, name: str) -> None:
        self.stages.append(name)


class Triplets(list):
    """Six of them, in a folder."""

    root, info = Path("town"), RUNS


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(training_run, "INPUT_SIZE", SIZE)
    monkeypatch.setattr(TrainingRun, "_batches", lambda run, augmentation: RandomBatches())
    monkeypatch.setattr(DescriptorTrainer, "draw", lambda trainer, folder, records: None)


def data(known: float = 0.5) -> TrainingData:
    pack = SimpleNamespace(known=np.full(6, known), info=SimpleNamespace(with_depth=known > 0))
    triplets: Any = Triplets(range(6))
    return TrainingData(triplets, "digest", pack, random_validation())  # type: ignore[arg-type]


def run(
    out: Path,
    system: SystemConfig,
    callback: Callback | None = None,
    of: TrainingData | None = None,
    seed: int = 0,
) -> TrainingRun:
    return TrainingRun(
        out, system, PROTOCOL, seed, of or data(), Processes(torch.device("cpu")), callback or Callback()
    )


@pytest.mark.parametrize("descriptor", ["rgb", "rgb_plus", "rgbtd"])
def test_a_system_is_trained_and_its_checkpoint_tells_on_what(tmp_path: Path, descriptor: str) -> None:
    result = run(tmp_path, tiny_system(descriptor)).run()
    assert result["epochs"] == PROTOCOL.epochs
    network, provenance = load_checkpoint(tmp_path / "checkpoints/best.safetensors")
    assert network.is_fitted
    assert provenance["triplets_sha256"] == "digest"
    assert provenance["runs"] == RUNS.runs
    assert (provenance["seed"], provenance["protocol"]) == (0, "tiny")
    assert provenance["initial_weights"]["encoder"] == tiny_system(descriptor).encoder_weights


def test_another_seed_gives_another_network_and_the_same_one_the_same(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(tmp_path / name, tiny_system("rgb"), seed=seed).run()
    a, b, c = (load_file(tmp_path / name / "checkpoints/last.safetensors") for name in "abc")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert not all(torch.equal(a[key], c[key]) for key in a)


def test_hallucination_is_trained_in_three_stages(tmp_path: Path) -> None:
    callback = Callback()
    run(tmp_path, tiny_system("hallucination"), callback).run()
    assert callback.stages == ["tiny: RGB network", "tiny: depth network", "tiny"]
    assert set(callback.records[-1]["losses"]) == {"image", "hallucination", "joint", "distance"}
    assert (
        load_checkpoint(tmp_path / "stages/depth/checkpoints/best.safetensors")[0].config.descriptor == "rgb"
    )
    assert load_checkpoint(tmp_path / "checkpoints/best.safetensors")[0].config.descriptor == "hallucination"


def test_a_hallucination_run_that_is_stopped_comes_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(Exception):
        pass

    run(tmp_path / "whole", tiny_system("hallucination")).run()
    step, left = DescriptorTrainer.step, 8  # six steps a stage: in the second one

    def stop(trainer: DescriptorTrainer, batch: Any, position: Position) -> Step | None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Stop
        return step(trainer, batch, position)

    monkeypatch.setattr(DescriptorTrainer, "step", stop)
    with pytest.raises(Stop):
        run(tmp_path / "stopped", tiny_system("hallucination")).run()
    run(tmp_path / "stopped", tiny_system("hallucination")).run()
    whole, stopped = (
        load_file(tmp_path / name / "checkpoints/last.safetensors") for name in ("whole", "stopped")
    )
    assert all(torch.equal(whole[key], stopped[key]) for key in whole)


@pytest.mark.parametrize("descriptor", ["rgbtd", "hallucination"])
def test_a_system_that_learns_from_depth_refuses_triplets_without(tmp_path: Path, descriptor: str) -> None:
    with pytest.raises(SceneGeoLocError, match=r"triplets have none: make the triplets with depth maps"):
        run(tmp_path / "run", tiny_system(descriptor), of=data(known=0.0))
    assert not (tmp_path / "run").exists()


def test_systems_without_depth_need_none(tmp_path: Path) -> None:
    assert run(tmp_path, tiny_system("rgb_plus"), of=data(known=0.0)).run()["epochs"] == 2


def test_other_input_than_the_packed_images_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_run, "INPUT_SIZE", 224)
    with pytest.raises(SceneGeoLocError, match="its input is 32 x 32 and training images are 224 x 224"):
        run(tmp_path, tiny_system())


def test_a_projection_is_refused_since_it_is_fitted_afterwards(tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match="descriptor_size 4 needs a projection"):
        run(tmp_path, tiny_system("rgb", descriptor_size=4))


def with_weights(system: SystemConfig, path: Path) -> SystemConfig:
    return system.model_copy(update={"encoder_weights": str(path)})


def with_decoder(system: SystemConfig, path: Path) -> SystemConfig:
    return system.model_copy(update={"decoder_weights": str(path)})


def test_training_begins_with_the_weights_of_a_file(tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = SceneNetwork(tiny_system("rgb").network)
    save_checkpoint(before, tmp_path / "w.safetensors", {})
    begun = new_network(with_weights(tiny_system(), tmp_path / "w.safetensors"), seed=0)
    assert torch.equal(begun.encoder.first[0].weight, before.encoder.first[0].weight)  # type: ignore[index]


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    other = SceneNetwork(NetworkConfig(encoder="alexnet", pooling="mac"))
    save_checkpoint(other, tmp_path / "w.safetensors", {})
    with pytest.raises(CheckpointError, match="same architecture"):
        new_network(with_weights(tiny_system("rgb"), tmp_path / "w.safetensors"), seed=0)


def test_training_begins_with_the_decoder_of_a_checkpoint(tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = SceneNetwork(tiny_system().network)
    save_checkpoint(before, tmp_path / "d.safetensors", {})
    begun = new_network(with_decoder(tiny_system(), tmp_path / "d.safetensors"), seed=0)
    wanted, got = decoder_of(before), decoder_of(begun)
    assert wanted is not None
    assert got is not None
    for name, value in wanted.state_dict().items():
        assert torch.equal(got.state_dict()[name], value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (tiny_system("rgb"), "has no depth decoder, for its descriptor is 'rgb'"),
        (tiny_system("rgb_plus"), "has no depth decoder, for its descriptor is 'rgb_plus'"),
        (tiny_system(depth_scale="linear"), "depth scale linear and the system log"),
    ],
)
def test_a_decoder_of_no_use_is_refused(given: SystemConfig, message: str, tmp_path: Path) -> None:
    save_checkpoint(SceneNetwork(given.network), tmp_path / "d.safetensors", {})
    with pytest.raises(CheckpointError, match=message) as raised:
        new_network(with_decoder(tiny_system(), tmp_path / "d.safetensors"), seed=0)
    assert "\n" not in str(raised.value)


def test_the_centres_of_the_depth_descriptor_are_those_of_true_depth() -> None:
    """Two pictures of depth give two networks with other centres for depth and the same ones for images."""
    network = new_network(tiny_system(pooling="netvlad"), seed=0)
    random = torch.Generator().manual_seed(1)
    images = torch.randint(0, 255, (40, SIZE, SIZE, 3), generator=random).to(torch.uint8)
    near, far = (
        torch.rand((2, 40, SIZE, SIZE), generator=random) * torch.tensor([20.0, 90.0])[:, None, None, None]
    )
    centres = []
    for depth_m in (near, far):
        fit_poolings(network, images, depth_m)
        centres.append([pooling.centres.detach().clone() for pooling in network.descriptor.poolings])  # type: ignore[operator,union-attr]
    assert torch.equal(centres[0][0], centres[1][0])
    assert not torch.allclose(centres[0][1], centres[1][1], atol=0.01)
    assert network.is_fitted


def test_a_file_of_first_weights_is_named_with_its_checksum(tmp_path: Path) -> None:
    (tmp_path / "alexnet.safetensors").write_bytes(b"weights")
    system = tiny_system("rgbtd").model_copy(
        update={"encoder_weights": str(tmp_path / "alexnet.safetensors")}
    )
    named = first_weights(system)
    assert named["encoder"] == f"alexnet.safetensors, SHA-256 {hashlib.sha256(b'weights').hexdigest()}"
    assert named["depth_encoder"] == named["decoder"] == "none"


def test_a_missing_file_of_first_weights_is_named(tmp_path: Path) -> None:
    system = tiny_system("rgb").model_copy(update={"encoder_weights": str(tmp_path / "gone.safetensors")})
    with pytest.raises(CheckpointError, match=r"gone\.safetensors cannot be read"):
        first_weights(system)
