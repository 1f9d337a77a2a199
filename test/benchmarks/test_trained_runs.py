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

"""Run folders of training as runs of the benchmark: runs that are found, and runs that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from scene_geo_loc.benchmarks.descriptors.trained_runs import checkpoint_run, find_runs
from scene_geo_loc.core.errors import CheckpointError, SceneGeoLocError
from scene_geo_loc.networks.architecture.checkpoint import digest, save_checkpoint
from scene_geo_loc.networks.architecture.network_config import NetworkConfig
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.training.common.run_folder import BEST, RunFolder

pytestmark = pytest.mark.slow

NETWORK = NetworkConfig(encoder="efficientnet_lite0", pooling="mac", input_width=64, input_height=64)


def make_run(
    folder: Path, name: str = "RGB", seed: int = 0, finished: bool = True, parent: str = "", **more: Any
) -> SceneNetwork:
    """A run folder as training leaves it, its network of random weights."""
    config = {
        "system": {"name": name, "network": NETWORK.model_dump(), "augmentation": False},
        "protocol": {"name": "reduced", "epochs": 5},
        "seed": seed,
        "triplets": {"sha256": "abc"},
    }
    run = RunFolder(folder, config | more)
    torch.manual_seed(seed)
    network = SceneNetwork(NETWORK)
    (folder / BEST).parent.mkdir(parents=True)
    save_checkpoint(network, folder / BEST, {"parent": parent} if parent else {})
    if finished:
        run.finish({"ended": "after 5 epochs"})
    return network


def test_seeds_of_one_system_bear_one_name(tmp_path: Path) -> None:
    networks = [make_run(tmp_path / f"rgb_{seed}", seed=seed) for seed in (0, 1)]
    found = find_runs([tmp_path])
    assert [(str(run.system), run.system.protocol, run.seed) for run in found.runs] == [
        ("RGB", "reduced", 0),
        ("RGB", "reduced", 1),
    ]
    assert [run.digest for run in found.runs] == [digest(network) for network in networks]
    assert found.runs[0].input_size(1280, 960) == (64, 64)
    assert found.runs[0].traits["pooling"] == "mac"
    assert found.runs[0].traits["augmentation"] is False
    assert found.protocols == {"reduced": {"epochs": 5}}


def test_a_run_folder_may_be_named_itself(tmp_path: Path) -> None:
    make_run(tmp_path / "rgb")
    assert len(find_runs([tmp_path / "rgb", tmp_path]).runs) == 1


def test_a_run_that_is_not_finished_is_left_out_and_named(tmp_path: Path) -> None:
    make_run(tmp_path / "rgb_0")
    make_run(tmp_path / "rgb_1", seed=1, finished=False)
    found = find_runs([tmp_path])
    assert [run.seed for run in found.runs] == [0]
    assert found.left_out == ["RGB with seed 1 is excluded: its training is not finished."]


def test_stages_inside_a_run_are_no_runs_of_their_own(tmp_path: Path) -> None:
    make_run(tmp_path / "hallucination", name="Hallucination")
    make_run(tmp_path / "hallucination" / "stages" / "rgb", name="RGB")
    assert [run.system.name for run in find_runs([tmp_path]).runs] == ["Hallucination"]


def test_a_fine_tuned_run_tells_its_parent(tmp_path: Path) -> None:
    before = make_run(tmp_path / "day")
    protocol = {"name": "depth", "freeze": "descriptor"}
    make_run(tmp_path / "night", name="RGB, tuned", parent=digest(before), protocol=protocol)
    tuned, trained = find_runs([tmp_path]).runs
    assert (tuned.system.name, tuned.parent) == ("RGB, tuned", trained.digest)


def test_a_run_that_trained_a_decoder_alone_is_left_out(tmp_path: Path) -> None:
    make_run(tmp_path / "day")
    make_run(tmp_path / "depth", name="RGB, depth", protocol={"name": "depth", "freeze": "encoder"})
    found = find_runs([tmp_path])
    assert [run.system.name for run in found.runs] == ["RGB"]
    assert found.left_out == ["RGB, depth is excluded: only its decoder was trained, not its descriptor."]


def test_a_seed_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_run(tmp_path / name)
    with pytest.raises(SceneGeoLocError, match="RGB with seed 0"):
        find_runs([tmp_path])


def test_seeds_that_differ_in_more_than_the_seed_are_refused(tmp_path: Path) -> None:
    make_run(tmp_path / "one")
    make_run(tmp_path / "two", seed=1, triplets={"sha256": "other"})
    with pytest.raises(SceneGeoLocError, match="differ in more than the seed"):
        find_runs([tmp_path])


def system_of(name: str, network: dict[str, Any], **files: str) -> dict[str, Any]:
    return {"system": {"name": name, "network": network, **files}}


def test_a_setting_that_an_earlier_version_lacked_is_its_default(tmp_path: Path) -> None:
    now = NETWORK.model_dump()
    then = {key: value for key, value in now.items() if key != "depth_scale"}
    make_run(tmp_path / "then", **system_of("RGB", then))
    make_run(tmp_path / "now", seed=1, **system_of("RGB", now))
    assert len(find_runs([tmp_path]).runs) == 2


def test_files_that_training_began_with_are_told_without_their_machines_folders(tmp_path: Path) -> None:
    files = {"encoder_weights": "/home/me/alexnet.safetensors", "depth_encoder_weights": "imagenet"}
    decoder = {"decoder_weights": "/home/me/runs/decoder/checkpoints/last.safetensors"}
    make_run(tmp_path / "rgb", **system_of("RGB", NETWORK.model_dump(), **files))
    rgbtd = NETWORK.model_copy(update={"descriptor": "rgbtd"}).model_dump()
    make_run(tmp_path / "rgbtd", **system_of("RGBtD", rgbtd, **files, **decoder))
    assert find_runs([tmp_path]).begun_with == {
        "RGB": {"encoder": "alexnet.safetensors"},
        "RGBtD": {
            "encoder": "alexnet.safetensors",
            "depth encoder": "ImageNet's",
            "decoder": "decoder/checkpoints/last.safetensors",
        },
    }


def test_a_decoder_without_given_weights_began_at_random(tmp_path: Path) -> None:
    network = NETWORK.model_copy(update={"descriptor": "rgb_plus", "colouring": "smooth"}).model_dump()
    make_run(tmp_path, **system_of("RGB+", network, encoder_weights="imagenet", decoder_weights="none"))
    assert find_runs([tmp_path]).begun_with["RGB+"] == {"encoder": "ImageNet's", "decoder": "random"}


def test_two_protocols_of_one_name_are_refused_whichever_systems_they_trained(tmp_path: Path) -> None:
    make_run(tmp_path / "one")
    make_run(tmp_path / "two", name="RGBtD", protocol={"name": "reduced", "epochs": 6})
    with pytest.raises(SceneGeoLocError, match="two: its protocol reduced differs"):
        find_runs([tmp_path])


def test_weights_in_another_folder_are_the_same_weights(tmp_path: Path) -> None:
    for seed, folder in enumerate(("here", "/there")):
        system = {"name": "RGB", "network": NETWORK.model_dump(), "encoder_weights": f"{folder}/alexnet.st"}
        make_run(tmp_path / str(seed), seed=seed, system=system)
    assert len(find_runs([tmp_path]).runs) == 2


@pytest.mark.parametrize("text", ["", "system: 3", "system: {name: a}\nseed: x\n", ": :", "\0"])
def test_a_config_that_is_none_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(SceneGeoLocError, match="is not the config of a trained descriptor"):
        find_runs([tmp_path])


def test_a_folder_without_runs_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SceneGeoLocError, match="is not a run folder"):
        find_runs([tmp_path / "nothing"])


def test_a_damaged_checkpoint_is_found_before_anything_is_described(tmp_path: Path) -> None:
    make_run(tmp_path / "rgb")
    (tmp_path / "rgb" / BEST).write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="damaged"):
        find_runs([tmp_path])


def test_a_checkpoint_alone_is_named_by_its_file(tmp_path: Path) -> None:
    make_run(tmp_path / "rgb")
    run = checkpoint_run(tmp_path / "rgb" / BEST, whiten=[32])
    assert (run.system.name, run.system.protocol, run.seed, run.whiten) == ("best", "", None, [32])
