"""The folder of a training run: what it is, how it went, its networks, and what it resumes from.

    config.yaml                            system, protocol, seed, triplets, versions
    log.jsonl                              a line an epoch
    curves.png                             losses and recall over the epochs
    depth.png                              of depth: what the network makes of a few images by now
    checkpoints/best.safetensors           the network of the best epoch
    checkpoints/last.safetensors           the network of the last epoch
    checkpoints/training_state.safetensors while it runs: weights, the optimiser's moments, how far it is
    result.json                            why and when it ended; its best epoch

Every file is written aside and renamed, and the state last of all.  Whenever a run is killed, what its state
does not know yet is done again and comes out as before.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from scene_geo_loc import __version__
from scene_geo_loc.core.atomic import write_aside, write_json
from scene_geo_loc.core.errors import CheckpointError, SceneGeoLocError
from scene_geo_loc.plots.training_curves import write_training_curves

Draw = Callable[[Path, list[dict[str, Any]]], None]
"""Draws the picture of a run from its log."""
CONFIG, LOG, CURVES, RESULT = "config.yaml", "log.jsonl", "curves.png", "result.json"
BEST, LAST = "checkpoints/best.safetensors", "checkpoints/last.safetensors"
_STATE = "checkpoints/training_state.safetensors"
_KEY = "scene_geo_loc_training"
_VERSIONS = "versions"


@dataclass(frozen=True)
class TrainingState:
    """What a run resumes from.

    Attributes:
        tensors: all weights and the optimiser's moments, by name.
        progress: how far it is, JSON's types alone.
    """

    tensors: dict[str, Tensor]
    progress: dict[str, Any]


class RunFolder:
    """The folder of one run, new or to be resumed.

    Args:
        path: the folder; made where there is none.
        config: what the run is: the same again resumes it.

    Raises SceneGeoLocError where the folder holds something else, another run, or cannot be written.
    """

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        self.path = path
        there = self._read_config()
        # What never came to its first epoch, for want of weights say, is no run to be kept.
        if there is None or not (path / LOG).is_file():
            text = yaml.safe_dump({**config, _VERSIONS: versions()}, sort_keys=False, allow_unicode=True)
            write_aside(path / CONFIG, text.encode())
            return
        # As the file gives it back: of tuples it makes lists.
        wanted = yaml.safe_load(yaml.safe_dump(config, sort_keys=False))
        there.pop(_VERSIONS, None)
        if other := _difference(wanted, there):
            raise SceneGeoLocError(
                f"{path} holds another training run ({other}): name a new folder, or repeat that run's "
                "command to resume it."
            )

    @property
    def best(self) -> Path:
        """The checkpoint of the best epoch."""
        return self.path / BEST

    @property
    def last(self) -> Path:
        """The checkpoint of the last epoch."""
        return self.path / LAST

    @property
    def result(self) -> dict[str, Any] | None:
        """How the run ended; None where it has not."""
        path = self.path / RESULT
        return _read_json(path) if path.is_file() else None

    def finish(self, result: dict[str, Any]) -> None:
        """Notes how the run ended; what it would resume from is not needed any more."""
        write_json(self.path / RESULT, result)
        (self.path / _STATE).unlink(missing_ok=True)
        for name in (BEST, LAST, _STATE):  # of a run that was killed while it wrote
            for left in self.path.glob(f"checkpoints/.{Path(name).name}.*.partial"):
                left.unlink()

    def log(self, epochs: int) -> list[dict[str, Any]]:
        """The records of the first `epochs` epochs, as far as there are."""
        try:
            lines = (self.path / LOG).read_text().splitlines()
            return [json.loads(line) for line in lines[:epochs]]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise SceneGeoLocError(
                f"{self.path / LOG} is damaged ({error}): train again in a new folder."
            ) from error

    def write_log(self, records: list[dict[str, Any]], draw: Draw = write_training_curves) -> None:
        """Writes a line for each record, and draws the curves."""
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        write_aside(self.path / LOG, lines.encode())
        draw(self.path / CURVES, records)

    def save_state(self, state: TrainingState) -> None:
        """Writes what the run resumes from; the state before stays whole until this one is."""
        tensors = {name: value.detach().cpu().contiguous() for name, value in state.tensors.items()}
        write_aside(self.path / _STATE, save(tensors, {_KEY: json.dumps(state.progress)}))

    def load_state(self) -> TrainingState | None:
        """What the run resumes from; None where it has not begun.

        Raises CheckpointError where it is damaged.
        """
        path = self.path / _STATE
        if not path.is_file():
            return None
        try:
            with safe_open(str(path), framework="pt") as file:
                progress = json.loads((file.metadata() or {})[_KEY])
                return TrainingState({name: file.get_tensor(name) for name in file.keys()}, progress)  # noqa: SIM118
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"{path} is damaged ({str(error).splitlines()[0]}): train again in a new folder; the best "
                f"network so far is {self.best}."
            ) from error

    def _read_config(self) -> dict[str, Any] | None:
        path = self.path / CONFIG
        try:
            config = yaml.safe_load(path.read_text())
        except FileNotFoundError:
            if self.path.is_dir() and any(self.path.iterdir()):
                raise SceneGeoLocError(
                    f"{self.path} is no training run and not empty: name a new folder."
                ) from None
            return None
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise SceneGeoLocError(f"{path} cannot be read ({error}): name a new folder.") from error
        if not isinstance(config, dict):
            raise SceneGeoLocError(f"{path} is not that of a training run: name a new folder.")
        return config


def versions() -> dict[str, str]:
    """What the numbers of a run may depend on besides its config."""
    return {
        "scene_geo_loc": __version__,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
    }


def _difference(wanted: dict[str, Any], there: dict[str, Any], where: str = "") -> str | None:
    """The first thing in which two configs differ, in words."""
    for key in (*wanted, *(key for key in there if key not in wanted)):
        ours, theirs = wanted.get(key), there.get(key)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            if inner := _difference(ours, theirs, f"{where}{key}."):
                return inner
        elif ours != theirs:
            return f"{where}{key} is {theirs} there, and now {ours}"
    return None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise SceneGeoLocError(f"{path} is damaged ({error}): train again in a new folder.") from error
