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

"""The folder of a training run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from scene_geo_loc.core.errors import CheckpointError, SceneGeoLocError
from scene_geo_loc.plots.training_curves import write_training_curves
from scene_geo_loc.training.common.run_folder import RunFolder, TrainingState

CONFIG = {"system": {"name": "one", "sizes": [1, 2]}, "seed": 0}
RECORDS = [
    {"epoch": 0, "losses": {}, "recall_at_n": [0.1, 0.2, 0.3, 0.4, 0.5], "mean_recall_1_to_5": 0.3},
    {"epoch": 1, "losses": {"image": 0.1}, "recall_at_n": [0.2] * 5, "mean_recall_1_to_5": 0.2},
]


def test_the_config_says_what_the_run_is_and_by_which_versions(tmp_path: Path) -> None:
    RunFolder(tmp_path / "run", CONFIG)
    values = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert values["versions"]["torch"] == torch.__version__
    assert {key: values[key] for key in CONFIG} == CONFIG


def test_the_same_run_is_resumed_also_by_other_versions(tmp_path: Path) -> None:
    RunFolder(tmp_path, CONFIG).write_log(RECORDS)
    path = tmp_path / "config.yaml"
    path.write_text(path.read_text().replace(torch.__version__, "0.1"))
    RunFolder(tmp_path, CONFIG)


def test_a_run_that_did_not_begin_gives_way_to_another(tmp_path: Path) -> None:
    RunFolder(tmp_path, CONFIG)
    RunFolder(tmp_path, CONFIG | {"seed": 1})
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["seed"] == 1


def test_another_run_is_not_resumed_and_the_first_difference_is_named(tmp_path: Path) -> None:
    RunFolder(tmp_path, CONFIG).write_log(RECORDS)
    with pytest.raises(SceneGeoLocError, match=r"another training run \(seed is 0 there and 1 now\)"):
        RunFolder(tmp_path, CONFIG | {"seed": 1})
    with pytest.raises(SceneGeoLocError, match=r"system\.name is one there and two now"):
        RunFolder(tmp_path, {"system": {"name": "two", "sizes": [1, 2]}, "seed": 1})


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(SceneGeoLocError, match="not empty and holds no training run"):
        RunFolder(tmp_path, CONFIG)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_config_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("theme: dark\n")
    with pytest.raises(SceneGeoLocError, match="not written by a training run"):
        RunFolder(tmp_path, CONFIG)
    assert (tmp_path / "config.yaml").read_text() == "theme: dark\n"


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, CONFIG)
    assert run.load_state() is None
    tensors = {"a": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last), "b": torch.tensor(3.0)}
    run.save_state(TrainingState(tensors, {"sums": {"image": 0.1 + 0.2}}))
    back = run.load_state()
    assert back is not None
    assert back.progress == {"sums": {"image": 0.1 + 0.2}}
    assert back.tensors.keys() == tensors.keys()
    assert all(torch.equal(back.tensors[name], value) for name, value in tensors.items())


def test_a_torn_state_is_told_of_with_the_best_network_so_far(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, CONFIG)
    run.save_state(TrainingState({"a": torch.zeros(99)}, {}))
    path = tmp_path / "checkpoints/training_state.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"is damaged .* best network so far is .*best\.safetensors"):
        run.load_state()


def test_the_log_has_a_line_an_epoch(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, CONFIG)
    run.write_log(RECORDS)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == RECORDS
    assert run.log(1) == RECORDS[:1]


def test_runs_with_and_without_validation_have_curves(tmp_path: Path) -> None:
    for name, records in (
        ("validated", RECORDS),
        ("not", [{"epoch": 0, "losses": {}}, {"epoch": 1, "losses": {"depth": 0.2}}]),
    ):
        write_training_curves(tmp_path / name, records)
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_finished_run_needs_no_state(tmp_path: Path) -> None:
    run = RunFolder(tmp_path, CONFIG)
    run.save_state(TrainingState({"a": torch.zeros(1)}, {}))
    (tmp_path / "checkpoints/.best.safetensors.123-4567abcd.partial").touch()
    assert run.result is None
    run.finish({"best_epoch": 3})
    assert list((tmp_path / "checkpoints").iterdir()) == []
    assert run.result == {"best_epoch": 3}
    assert run.load_state() is None


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SceneGeoLocError, match="cannot"):
        RunFolder(tmp_path / "file" / "run", CONFIG)
