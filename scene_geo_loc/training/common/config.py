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

"""The configuration of a training run: a system, and the protocol by which it is trained.

A system is named by its parts, such as `rgbtd_alexnet_mac`, or described by a YAML file; a protocol is a YAML
file.  The files of the package are called by their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.regular_file import regular
from scene_geo_loc.networks.architecture.descriptors import DESCRIPTORS
from scene_geo_loc.networks.architecture.encoders import ENCODERS
from scene_geo_loc.networks.architecture.network_config import NetworkConfig
from scene_geo_loc.networks.architecture.pooling import POOLINGS
from scene_geo_loc.training.common.protocols import TrainingProtocol

IMAGENET, NO_WEIGHTS = "imagenet", "none"
_PACKAGE = "scene_geo_loc"
_SUFFIX = ".yaml"
_SYSTEMS, _PROTOCOLS = "systems", "protocols"
_SIDE = 224
"""Sides of the input of the paper's systems, pixels."""

Model = TypeVar("Model", bound=BaseModel)


class SystemConfig(BaseModel):
    """A descriptor system and the settings of its training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="name in tables and run folders")
    network: NetworkConfig = Field(description="the network")
    augmentation: bool = Field(
        default=False, description="strong photometric changes of images, besides the random crop"
    )
    depth_loss: Literal["l1", "uncertainty"] = Field(
        default="l1",
        description="loss of the inferred depth, the sky at the largest depth: l1, or uncertainty, a Laplace "
        "likelihood, for which the network needs uncertainty: true",
    )
    encoder_weights: str = Field(
        default=IMAGENET, description="first weights of the image encoder: imagenet, none, or a file"
    )
    depth_encoder_weights: str = Field(
        default=IMAGENET, description="first weights of the second encoder, if there is one: the same choices"
    )
    decoder_weights: str = Field(
        default=NO_WEIGHTS,
        description="first weights of the decoder: the checkpoint of a network with a depth decoder, or none",
    )

    @model_validator(mode="after")
    def _possible(self) -> SystemConfig:
        if (self.depth_loss == "uncertainty") != self.network.uncertainty:
            raise ValueError(
                f"depth_loss {self.depth_loss} does not go with uncertainty {self.network.uncertainty} "
                "of the network"
            )
        return self

    def with_weights(
        self, weights: Path | None, depth_weights: Path | None, decoder_weights: Path | None
    ) -> SystemConfig:
        """Returns a copy with files of first weights; None leaves them as they are.

        If both encoders are of one kind, `weights` are also those of the second one, unless it has its own.
        """
        if depth_weights is None and self.network.encoder == self.network.depth_encoder:
            depth_weights = weights
        given = {
            "encoder_weights": weights,
            "depth_encoder_weights": depth_weights,
            "decoder_weights": decoder_weights,
        }
        return self.model_copy(update={name: str(path) for name, path in given.items() if path is not None})


class Variant(NamedTuple):
    """A change of a system, named at the end of the system's name.

    Attributes:
        title: in the title of the system.
        network: changed fields of the network's config.
        training: changed fields of the system.
    """

    title: str
    network: dict[str, Any]
    training: dict[str, Any]


VARIANTS = {
    "augmented": Variant("photometric augmentation", {}, {"augmentation": True}),
    "gated": Variant("gated fusion", {"fusion": "gated"}, {}),
    "linear": Variant("linear depth", {"depth_scale": "linear"}, {}),
    "smooth": Variant("differentiable colouring", {"colouring": "smooth"}, {}),
    "uncertainty": Variant(
        "uncertainty-weighted depth loss", {"uncertainty": True}, {"depth_loss": "uncertainty"}
    ),
}
"""The variants of systems by name."""


def load_system(name: str) -> SystemConfig:
    """Returns the system of a YAML file, of a name in the package, or of a name composed of its parts.

    A composed name is DESCRIPTOR_ENCODER_POOLING, followed by `VARIANTS`, such as `rgbtd_alexnet_mac_smooth`:
    a system as in the ICRA paper, with an input of 224 x 224 and AlexNet as the second encoder.

    Raises SceneGeoLocError if there is no such system, or if its parts are unknown or do not go together.
    """
    if not _is_file(name) and name not in names_of(_SYSTEMS) and (values := _composed(name)) is not None:
        return _validated(SystemConfig, values, name)
    return _load(SystemConfig, name, _SYSTEMS)


def load_protocol(name: str) -> TrainingProtocol:
    """Returns the protocol of a YAML file, or one of the package: full, reduced or compact.

    Raises SceneGeoLocError if there is no such protocol, or if it has unknown or impossible settings.
    """
    return _load(TrainingProtocol, name, _PROTOCOLS)


def names_of(kind: str) -> list[str]:
    """Returns the names of the files of systems ("systems") or protocols ("protocols") in the package."""
    return sorted(path.stem for path in _folder(kind).glob(f"*{_SUFFIX}"))


def _composed(name: str) -> dict[str, Any] | None:
    """Returns the values of a system whose name is composed of its parts, or None."""

    def one_of(names: Iterable[str]) -> str:
        return "|".join(map(re.escape, names))

    pattern = (
        f"({one_of(DESCRIPTORS)})_({one_of(ENCODERS)})_({one_of(POOLINGS)})((?:_(?:{one_of(VARIANTS)}))*)"
    )
    match = re.fullmatch(pattern, name)
    if match is None:
        return None
    descriptor, encoder, pooling = match[1], match[2], match[3]
    variants = [VARIANTS[variant] for variant in match[4].split("_")[1:]]
    system = DESCRIPTORS[descriptor]
    titles = [system.title, ENCODERS[encoder].title, POOLINGS[pooling].title]
    network = {"descriptor": descriptor, "encoder": encoder, "pooling": pooling}
    size = {"input_width": _SIDE, "input_height": _SIDE}
    colouring = {"colouring": system.fixed_colouring} if system.fixed_colouring else {}
    values: dict[str, Any] = {
        "name": ", ".join([*titles, *(variant.title for variant in variants)]),
        "network": {**network, **size, **colouring},
    }
    for variant in variants:
        values["network"] |= variant.network
        values |= variant.training
    return values


def _is_file(name: str) -> bool:
    return Path(name).is_file() or Path(name).suffix == _SUFFIX


def _folder(kind: str) -> Path:
    """Returns the folder of the package's files, in its source tree or in the share folder of its
    installation.
    """
    for parent in Path(__file__).resolve().parents:
        for folder in (parent / "config", parent / "share" / _PACKAGE / "config"):
            if (folder / "training" / kind).is_dir():
                return folder / "training" / kind
    raise SceneGeoLocError(f"The {kind} of {_PACKAGE} are not installed: install the package again.")


def _load(model: type[Model], name: str, kind: str) -> Model:
    path = Path(name)
    if not _is_file(name):
        if name not in names_of(kind):
            raise SceneGeoLocError(f"There is neither a file {name} nor {_unknown(kind)}.")
        path = _folder(kind) / f"{name}{_SUFFIX}"
    try:
        values: Any = yaml.safe_load(regular(path).read_text())
    except FileNotFoundError as error:
        raise SceneGeoLocError(f"There is no file {path}: name an existing file.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise SceneGeoLocError(f"{path} cannot be read as YAML ({reason}): correct it.") from error
    return _validated(model, values, str(path))


def _unknown(kind: str) -> str:
    """Names what may be chosen instead of an unknown name."""
    known = f"one of the {kind} of the package: {', '.join(names_of(kind))}"
    if kind != _SYSTEMS:
        return known
    return (
        f"{known}; other systems are named by their parts, such as rgbtd_alexnet_mac: a descriptor "
        f"({', '.join(DESCRIPTORS)}), an encoder ({', '.join(ENCODERS)}), a pooling ({', '.join(POOLINGS)}) "
        f"and any variants ({', '.join(VARIANTS)})"
    )


def _validated(model: type[Model], values: Any, source: str) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SceneGeoLocError(f"{source}: {_first(error)}.") from error


def _first(error: ValidationError) -> str:
    """Describes the first error, and where it is."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
