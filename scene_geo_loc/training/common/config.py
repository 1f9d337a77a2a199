"""What a training run is made of: a system, and the protocol by which it is trained.

Both are YAML files.  Those that come with the package are called by their names alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.architecture.network_config import NetworkConfig
from scene_geo_loc.training.common.protocols import TrainingProtocol

IMAGENET, NO_WEIGHTS = "imagenet", "none"
_PACKAGE = "scene_geo_loc"
_SUFFIX = ".yaml"

Model = TypeVar("Model", bound=BaseModel)


class SystemConfig(BaseModel):
    """A descriptor system, and what is special in its training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, description="what tables and run folders call it")
    network: NetworkConfig = Field(description="the network")
    augmentation: bool = Field(
        default=False, description="strong photometric changes to images, besides the random crop"
    )
    depth_loss: Literal["l1", "uncertainty"] = Field(
        default="l1",
        description="loss of the inferred depth, the sky taken as far: L1, or a Laplace likelihood, for "
        "which the network needs uncertainty: true",
    )
    encoder_weights: str = Field(
        default=IMAGENET,
        description="weights of the image encoder to begin with: imagenet, none, or a file of them",
    )
    depth_encoder_weights: str = Field(
        default=IMAGENET, description="weights of the second encoder, where there is one, likewise"
    )
    decoder_weights: str = Field(
        default=NO_WEIGHTS,
        description="checkpoint of `train depth --freeze encoder` whose decoder to begin with, or none",
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
        """The same with files of weights to begin with; None: as it is.

        Where both encoders are of one kind, `weights` serve the second one, too, unless it has its own.
        """
        if depth_weights is None and self.network.encoder == self.network.depth_encoder:
            depth_weights = weights
        given = {
            "encoder_weights": weights,
            "depth_encoder_weights": depth_weights,
            "decoder_weights": decoder_weights,
        }
        return self.model_copy(update={name: str(path) for name, path in given.items() if path is not None})


def load_system(name: str) -> SystemConfig:
    """The system of a YAML file, or one that comes with the package.

    Raises SceneGeoLocError where there is none, or where it names what is unknown or impossible.
    """
    return _load(SystemConfig, name, "systems")


def load_protocol(name: str) -> TrainingProtocol:
    """The protocol of a YAML file, or one that comes with the package: full or reduced.

    Raises SceneGeoLocError where there is none, or where it names what is unknown or impossible.
    """
    return _load(TrainingProtocol, name, "protocols")


def names_of(kind: str) -> list[str]:
    """The names of the systems ("systems") or protocols ("protocols") that come with the package."""
    return sorted(path.stem for path in _folder(kind).glob(f"*{_SUFFIX}"))


def _folder(kind: str) -> Path:
    """Where the package's files are: in its source tree, or in the share folder of where it is installed."""
    for parent in Path(__file__).resolve().parents:
        for folder in (parent / "config", parent / "share" / _PACKAGE / "config"):
            if (folder / "training" / kind).is_dir():
                return folder / "training" / kind
    raise SceneGeoLocError(f"The {kind} of {_PACKAGE} are not installed with it: install it again.")


def _load(model: type[Model], name: str, kind: str) -> Model:
    path = Path(name)
    if not path.is_file() and path.suffix != _SUFFIX:
        if name not in names_of(kind):
            raise SceneGeoLocError(
                f"There is neither a file {name} nor one of that name among the {kind} that come with the "
                f"package: {', '.join(names_of(kind))}."
            )
        path = _folder(kind) / f"{name}{_SUFFIX}"
    try:
        values: Any = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise SceneGeoLocError(f"There is no file {path}: name an existing one.") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise SceneGeoLocError(f"{path} cannot be read as YAML ({reason}): correct it.") from error
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SceneGeoLocError(f"{path}: {_first(error)}: correct it.") from error


def _first(error: ValidationError) -> str:
    """The first thing that is wrong, and where."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
