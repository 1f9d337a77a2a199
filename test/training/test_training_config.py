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

"""Systems and protocols in YAML."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.training.common.config import (
    SystemConfig,
    load_protocol,
    load_system,
    names_of,
)
from scene_geo_loc.training.common.protocols import TrainingProtocol

COMPOSED = {
    "rgb_alexnet_gem": "RGB, AlexNet, GeM",
    "rgb_efficientnet_lite0_netvlad": "RGB, EfficientNet-Lite0, NetVLAD",
    "rgb_alexnet_mac_augmented": "RGB, AlexNet, MAC, photometric augmentation",
    "rgb_plus_resnet18_truncated_netvlad": "RGB+, truncated ResNet18, NetVLAD",
    "rgbtd_alexnet_mac_gated": "RGBtD, AlexNet, MAC, gated fusion",
    "rgbtd_alexnet_mac_linear": "RGBtD, AlexNet, MAC, linear depth",
    "rgbtd_alexnet_mac_smooth": "RGBtD, AlexNet, MAC, differentiable colouring",
    "rgbtd_alexnet_mac_uncertainty": "RGBtD, AlexNet, MAC, uncertainty-weighted depth loss",
    "hallucination_resnet18_mac": "Hallucination, ResNet18, MAC",
}


@pytest.mark.parametrize(("name", "title"), COMPOSED.items())
def test_a_name_of_parts_is_a_system_of_the_paper(name: str, title: str) -> None:
    system = load_system(name)
    assert system.name == title
    assert (system.network.input_width, system.network.input_height) == (224, 224)
    assert system.augmentation == name.endswith("augmented")
    assert system.network.fusion == ("gated" if name.endswith("gated") else "concatenate")
    assert system.network.depth_scale == ("linear" if name.endswith("linear") else "log")
    smooth = name.endswith("smooth") or name.startswith("rgb_plus")
    assert system.network.colouring == ("smooth" if smooth else "jet")
    assert system.depth_loss == ("uncertainty" if name.endswith("uncertainty") else "l1")


def test_parts_that_do_not_go_together_are_one_sentence() -> None:
    with pytest.raises(
        SceneGeoLocError, match="rgb_alexnet_mac_gated: network: fusion gated needs two parts"
    ):
        load_system("rgb_alexnet_mac_gated")


@pytest.mark.parametrize("name", names_of("systems"))
def test_every_system_that_comes_with_the_package_can_be_loaded(name: str) -> None:
    system = load_system(name)
    # The papers' systems take squares; whose local features are learned takes the shape of a camera's images.
    size = (320, 240) if system.network.local_features == "learned" else (224, 224)
    assert (system.network.input_width, system.network.input_height) == size
    assert system.network.descriptor_size is None


def test_systems_have_names_of_their_own() -> None:
    names = [load_system(name).name for name in (*COMPOSED, *names_of("systems"))]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("descriptor", ["rgb", "rgb_plus", "rgbtd", "hallucination"])
@pytest.mark.parametrize(
    "rest", ["alexnet_mac", "alexnet_netvlad", "resnet18_mac", "resnet18_truncated_netvlad"]
)
def test_all_pairs_of_the_paper_are_there_for_each_descriptor(descriptor: str, rest: str) -> None:
    network = load_system(f"{descriptor}_{rest}").network
    assert network.descriptor == descriptor
    assert rest == f"{network.encoder}_{network.pooling}"
    assert network.depth_encoder == "alexnet"


def test_the_full_protocol_is_that_of_the_authors() -> None:
    assert load_protocol("full") == TrainingProtocol()


def test_the_reduced_protocol_differs_in_how_much_is_trained_and_not_in_what() -> None:
    full, reduced = load_protocol("full"), load_protocol("reduced")
    for name in ("learning_rate", "weight_decay", "margin"):
        assert getattr(reduced, name) == getattr(full, name)
    assert reduced.epochs < full.epochs
    assert reduced.negatives < full.negatives


def written(folder: Path, **changes: object) -> str:
    values = load_system("rgbtd_alexnet_mac").model_dump() | changes
    (folder / "system.yaml").write_text(yaml.safe_dump(values))
    return str(folder / "system.yaml")


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    assert load_system(written(tmp_path, name="mine")).name == "mine"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": {"encoder": "vgg"}}, r"network\.encoder: unknown encoder 'vgg'; known are .*alexnet"),
        ({"network": {"pooling": "max"}}, r"network\.pooling: unknown pooling 'max'"),
        ({"network": {"input_width": 8}}, r"network\.input_width: .*greater than or equal to 32"),
        ({"network": {"descriptor_size": 100000}}, r"network: descriptor_size 100000 is more than"),
        ({"network": {"colours": "jet"}}, r"network\.colours: Extra inputs are not permitted"),
        ({"depth_loss": "uncertainty"}, "does not go with uncertainty False"),
        ({"augmentation": "perhaps"}, "augmentation: .*valid boolean"),
    ],
)
def test_what_is_unknown_or_impossible_is_named(tmp_path: Path, changes: dict, words: str) -> None:
    with pytest.raises(SceneGeoLocError, match=words):
        load_system(written(tmp_path, **changes))


def test_a_name_that_is_unknown_is_answered_with_those_that_are_known() -> None:
    with pytest.raises(SceneGeoLocError, match=r"neither a file rgbtd_vgg nor .* rgbtd_alexnet_mac"):
        load_system("rgbtd_vgg")


def test_more_hard_negatives_than_negatives_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("negatives: 5\nhard_negatives: 6\n")
    with pytest.raises(SceneGeoLocError, match="hard_negatives 6 are more than negatives 5"):
        load_protocol(str(tmp_path / "p.yaml"))


@pytest.mark.parametrize("text", ["[1, 2", "just words", "\x00", ""])
def test_what_is_no_yaml_of_settings_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "p.yaml").write_text(text)
    with pytest.raises(SceneGeoLocError, match=r"p\.yaml") as caught:
        load_system(str(tmp_path / "p.yaml"))
    assert "\n" not in str(caught.value)


def test_weights_serve_both_encoders_of_one_kind() -> None:
    alike = load_system("rgbtd_alexnet_mac").with_weights(Path("a"), None, None)
    assert (alike.encoder_weights, alike.depth_encoder_weights) == ("a", "a")
    other = load_system("rgbtd_resnet18_mac").with_weights(Path("r"), None, None)
    assert (other.encoder_weights, other.depth_encoder_weights) == ("r", "imagenet")
    both = load_system("rgbtd_alexnet_mac").with_weights(Path("a"), Path("d"), None)
    assert (both.encoder_weights, both.depth_encoder_weights) == ("a", "d")


def test_a_system_is_read_back_as_it_was_written() -> None:
    system = load_system("rgb_plus_alexnet_netvlad")
    assert SystemConfig.model_validate(yaml.safe_load(yaml.safe_dump(system.model_dump()))) == system
