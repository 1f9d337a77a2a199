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

"""The folder of a training run: config, log, networks, and the state to resume from.

    config.yaml                            system, protocol, seed, training data, versions
    log.jsonl                              one line for each epoch
    curves.png                             losses and validation over the epochs
    depth.png                              for depth: a few images with the depth inferred so far
    checkpoints/best.safetensors           the network of the best epoch
    checkpoints/last.safetensors           the network of the last epoch
    checkpoints/training_state.safetensors while it runs: weights, the optimiser's moments, progress
    result.json                            why it ended; its best epoch

Every file is replaced atomically, the state last.  If a run is killed, what its state does not include is
done again with the same result.
"""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from scene_geo_loc import __version__
from scene_geo_loc.core.atomic import write_aside, write_json
from scene_geo_loc.core.errors import CheckpointError, SceneGeoLocError, reason_of
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.networks.architecture.export import inference_network
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.checkpoint import save_network

CONFIG, LOG, CURVES, RESULT = "config.yaml", "log.jsonl", "curves.png", "result.json"
BEST, LAST = "checkpoints/best.safetensors", "checkpoints/last.safetensors"
_STATE = "checkpoints/training_state.safetensors"
_KEY = "scene_geo_loc_training"
_VERSIONS = "versions"
_WEIGHTS, _OPTIMISER = "weights.", "optimiser."


@dataclass(frozen=True)
class TrainingState:
    """The state that a run resumes from.

    Attributes:
        tensors: all weights and the optimiser's moments, by name.
        progress: the progress of the run, in types of JSON.
    """

    tensors: dict[str, Tensor]
    progress: dict[str, Any]

    @classmethod
    def of(
        cls, module: nn.Module, optimiser: torch.optim.Optimizer, progress: dict[str, Any]
    ) -> TrainingState:
        """The state of a module and of the optimiser of its weights."""
        tensors = {f"{_WEIGHTS}{name}": value for name, value in module.state_dict().items()}
        for index, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"{_OPTIMISER}{index}.{name}": value for name, value in moments.items()}
        return cls(tensors, progress)

    def restore(self, module: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Sets a module and its optimiser to the state. The learning rates stay as they are.

        Raises CheckpointError if the state is that of another module or optimiser.
        """
        weights: dict[str, Tensor] = {}
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in self.tensors.items():
            if name.startswith(_OPTIMISER):
                index, moment = name.removeprefix(_OPTIMISER).split(".")
                moments.setdefault(int(index), {})[moment] = value
            else:
                # Older versions called the weights "learner.", "network." or "student.".
                weights[name.partition(".")[2]] = value
        groups = optimiser.state_dict()["param_groups"]
        try:
            module.load_state_dict(weights)
            optimiser.load_state_dict({"state": moments, "param_groups": groups})
        except (RuntimeError, ValueError, KeyError) as error:
            raise CheckpointError(
                f"The state of the run does not fit its network ({reason_of(error)}): train again "
                "in a new folder."
            ) from error


class RunFolder:
    """The folder of one run, new or to be resumed.

    Args:
        path: the folder, which is made if needed.
        config: describes the run; only a run of the same config is resumed.

    Raises SceneGeoLocError if the folder holds something else or another run, or cannot be written.
    """

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path = path
        found = self._read_config()
        # A run without a record, for instance because weights were missing, may be replaced.
        if found is None or not (path / LOG).is_file():
            text = yaml.safe_dump({**config, _VERSIONS: versions()}, sort_keys=False, allow_unicode=True)
            write_aside(path / CONFIG, text.encode())
            return
        # As it is read from the file, where tuples become lists.
        wanted = yaml.safe_load(yaml.safe_dump(config, sort_keys=False))
        found.pop(_VERSIONS, None)
        if difference := _difference(wanted, found):
            raise SceneGeoLocError(
                f"{path} holds another training run ({difference}): name a new folder, or resume that run "
                "with its own settings."
            )

    @property
    def best(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.path / BEST

    @property
    def last(self) -> Path:
        """The checkpoint of the last epoch."""
        return self.path / LAST

    def save_networks(self, network: SceneNetwork, provenance: dict[str, Any], is_best: bool) -> None:
        """Writes the checkpoint of the last epoch, and that of the best epoch if it is the best.

        The forward pass is exported once for both, which takes longer than to write them.
        """
        exported = inference_network(network)
        for path in [self.best, self.last] if is_best else [self.last]:
            save_network(exported, path, provenance)

    @property
    def result(self) -> dict[str, Any] | None:
        """The result of the run, or None if it has not ended."""
        path = self.path / RESULT
        return _read_json(path) if path.is_file() else None

    def finish(self, result: dict[str, Any]) -> None:
        """Writes the result of the run and removes the state."""
        write_json(self.path / RESULT, result)
        (self.path / _STATE).unlink(missing_ok=True)
        for name in (BEST, LAST, _STATE):  # of a run that was killed while it wrote
            for left in self.path.glob(f"checkpoints/.{Path(name).name}.*.partial"):
                left.unlink()

    def log(self, epochs: int) -> list[dict[str, Any]]:
        """Returns the first records of the log, at most `epochs`.

        Raises SceneGeoLocError if the log is damaged.
        """
        try:
            lines = (self.path / LOG).read_text().splitlines()
            return [json.loads(line) for line in lines[:epochs]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise SceneGeoLocError(
                f"{self.path / LOG} is damaged ({reason_of(error)}): train again in a new folder."
            ) from error

    def write_log(self, records: list[dict[str, Any]]) -> None:
        """Writes one line for each record."""
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        write_aside(self.path / LOG, lines.encode())

    def save_state(self, state: TrainingState) -> None:
        """Writes the state to resume from, replacing the previous one atomically."""
        tensors = {name: value.detach().cpu().contiguous() for name, value in state.tensors.items()}
        write_aside(self.path / _STATE, save(tensors, {_KEY: json.dumps(state.progress)}))

    def load_state(self) -> TrainingState | None:
        """Returns the state to resume from, or None if there is none.

        Raises CheckpointError if it is damaged.
        """
        path = self.path / _STATE
        if not path.is_file():
            return None
        try:
            with safe_open(str(regular(path)), framework="pt") as file:
                progress = json.loads((file.metadata() or {})[_KEY])
                return TrainingState({name: file.get_tensor(name) for name in file.keys()}, progress)  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"{path} is damaged ({reason_of(error)}): train again in a new folder; the best "
                f"network so far is {self.best}."
            ) from error

    def _read_config(self) -> dict[str, Any] | None:
        path = self.path / CONFIG
        try:
            config = yaml.safe_load(regular(path).read_text())
        except FileNotFoundError:
            if self.path.is_dir() and any(self.path.iterdir()):
                raise SceneGeoLocError(
                    f"{self.path} is not empty and holds no training run: name a new folder."
                ) from None
            return None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise SceneGeoLocError(
                f"{path} cannot be read ({reason_of(error)}): name a new folder."
            ) from error
        if not isinstance(config, dict):
            raise SceneGeoLocError(f"{path} does not describe a training run: name a new folder.")
        if _VERSIONS not in config and not (self.path / LOG).is_file():
            raise SceneGeoLocError(f"{path} was not written by a training run: name a new folder.")
        return config


def versions() -> dict[str, str]:
    """Versions that the numbers of a run may depend on, besides its config."""
    return {
        "scene_geo_loc": __version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }


def _difference(wanted: dict[str, Any], found: dict[str, Any], where: str = "") -> str | None:
    """Describes the first difference between two configs."""
    for key in (*wanted, *(key for key in found if key not in wanted)):
        ours, theirs = wanted.get(key), found.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            if inner := _difference(ours, theirs, f"{where}{key}."):
                return inner
        elif ours != theirs:
            return f"{where}{key} is {theirs} there and {ours} now"
    return None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(regular(path).read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise SceneGeoLocError(
            f"{path} is damaged ({reason_of(error)}): train again in a new folder."
        ) from error
