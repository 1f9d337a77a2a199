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

"""Training that takes moments: a tiny encoder and random triplets of 32 x 32 pixels.

As a program it trains once: OUT [--die-at N], where it kills itself as it puts its Nth file in place.
"""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from scene_geo_loc.networks.architecture.encoders import ENCODERS, Encoder, FeatureMaps, Stage
from scene_geo_loc.networks.architecture.scene_network import NetworkConfig
from scene_geo_loc.training.common.config import SystemConfig
from scene_geo_loc.training.common.initialisation import new_network
from scene_geo_loc.training.common.loop import TrainingLoop
from scene_geo_loc.training.common.processes import Processes
from scene_geo_loc.training.common.protocols import TrainingProtocol
from scene_geo_loc.training.common.run_folder import RunFolder
from scene_geo_loc.training.descriptor.batches import TripletBatch
from scene_geo_loc.training.descriptor.learners import Learner, SceneLearner
from scene_geo_loc.training.descriptor.trainer import DescriptorTrainer
from scene_geo_loc.training.descriptor.validation import Validation

SIZE = 32


class TinyEncoder(Encoder):
    """Three convolutions, with a batch norm in its trunk and one in its head."""

    name = "tiny"
    skips = (Stage(4, 4, offset=1.5), Stage(6, 8, offset=3.5))
    early = skips[1]
    late = Stage(8, 16, offset=7.5)
    multiple = 16
    mean = std = (128.0, 128.0, 128.0)

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.BatchNorm2d(4), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1), nn.ReLU())
        self.third = nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), nn.BatchNorm2d(8))

    def trunk(self, images: Tensor) -> tuple[Tensor, ...]:
        first = self.first(images)
        return first, self.second(first)

    def head(self, trunk: tuple[Tensor, ...]) -> FeatureMaps:
        return FeatureMaps(trunk[1], self.third(trunk[1]), (trunk[0], trunk[1]))

    def head_modules(self) -> tuple[nn.Module, ...]:
        return (self.third,)

    def load_imagenet_weights(self) -> None:
        raise AssertionError("there are none")


ENCODERS[TinyEncoder.name] = TinyEncoder

PROTOCOL = TrainingProtocol(
    name="tiny",
    epochs=2,
    triplets_a_batch=2,
    positives=2,
    negatives=3,
    hard_negatives=2,
    mine_before_forward=True,
    encoder_batch_norm="running",
    learning_rate=0.01,
    checkpoint_minutes=0,
)


class RandomBatches:
    """Three batches an epoch of images that are noise around a colour of their place, 2 triplets each."""

    def __len__(self) -> int:
        return 3

    def epoch(self, number: int, first: int = 0) -> Iterator[TripletBatch]:
        for k in range(first, len(self)):
            random = torch.Generator().manual_seed(100 * number + k)
            colours = torch.randint(0, 200, (2, 6, 1, 1, 3), generator=random)
            colours[:, 1:3] = colours[:, :1]
            noise = torch.randint(0, 50, (2, 6, SIZE, SIZE, 3), generator=random)
            depth = 120 * torch.rand((2, 6, SIZE, SIZE), generator=random)
            depth[depth < 10] = torch.nan
            yield TripletBatch((2 * k, 2 * k + 1), (colours + noise).to(torch.uint8), depth)


class RandomPack:
    """Pack of random images for the validation."""

    def images(self, numbers: list[int]) -> Any:
        random = torch.Generator().manual_seed(7)
        return torch.randint(0, 255, (20, SIZE, SIZE, 3), generator=random).to(torch.uint8).numpy()[numbers]


def random_validation() -> Validation:
    """12 references 30 m apart and 8 queries at the places of the first 8."""
    at = torch.arange(12)[:, None].double().numpy() * [30.0, 0.0]
    return Validation(RandomPack(), range(12), range(12, 20), at, at[:8])  # type: ignore[arg-type]


class Silent:
    """A callback that remembers records."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def on_batch(self, epoch: int, done: int, total: int, losses: dict[str, float]) -> None:
        pass

    def on_epoch(self, record: dict[str, Any]) -> None:
        self.records.append(record)


def tiny_system(descriptor: str = "rgbtd", **network: Any) -> SystemConfig:
    """A system of tiny encoders without weights."""
    size = {"input_width": SIZE, "input_height": SIZE}
    parts = {"encoder": "tiny", "depth_encoder": "tiny", "pooling": "mac", "descriptor": descriptor}
    config = NetworkConfig.model_validate({**parts, **size, **network})
    loss: Literal["l1", "uncertainty"] = "uncertainty" if config.uncertainty else "l1"
    return SystemConfig(
        name="tiny", network=config, depth_loss=loss, encoder_weights="none", depth_encoder_weights="none"
    )


def tiny_learner(system: SystemConfig | None = None) -> Learner:
    """The same one each time."""
    system = system or tiny_system()
    return SceneLearner(new_network(system, seed=0), system)


def tiny_loop(
    out: Path,
    learner: Learner | None = None,
    protocol: TrainingProtocol = PROTOCOL,
    batches: Any = None,
    validated: bool = True,
    callback: Any = None,
) -> TrainingLoop:
    """A training with everything tiny."""
    processes = Processes(torch.device("cpu"))
    config = {"protocol": protocol.model_dump(mode="json")}
    folder = RunFolder(out, config) if processes.is_first else None
    processes.from_first(None)
    trainer = DescriptorTrainer(
        learner or tiny_learner(),
        random_validation() if validated else None,
        protocol,
        {"seed": 0},
        processes,
    )
    return TrainingLoop(
        trainer,
        batches or RandomBatches(),
        folder or RunFolder(out, config),
        epochs=protocol.epochs,
        patience=protocol.patience,
        checkpoint_minutes=protocol.checkpoint_minutes,
        processes=processes,
        callback=callback or Silent(),
    )


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--die-at", type=int)
    arguments = parser.parse_args()
    replace, files = Path.replace, 0

    def replace_or_die(path: Path, target: Path) -> Path:
        nonlocal files
        files += 1
        if files == arguments.die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(path, target)

    Path.replace = replace_or_die  # type: ignore[method-assign,assignment]
    # The drawing of curves takes most of the time.
    DescriptorTrainer.draw = lambda *_: None  # type: ignore[method-assign,assignment]
    torch.set_num_threads(1)
    system = tiny_system("rgb") if "WORLD_SIZE" in os.environ else tiny_system()
    loop = tiny_loop(arguments.out, tiny_learner(system))
    loop.run()
    processes = loop._processes
    del loop
    processes.close()


if __name__ == "__main__":
    _main()
