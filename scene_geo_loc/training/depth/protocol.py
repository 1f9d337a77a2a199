"""How a network's depth is trained: settings that the command line offers and a run's folder tells."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from scene_geo_loc.training.common.precision import Precision

if TYPE_CHECKING:
    from scene_geo_loc.networks.architecture.network_config import NetworkConfig


class Freeze(str, Enum):
    """What of a network stays as it is, bit for bit, while its depth is trained."""

    DESCRIPTOR = "descriptor"
    """All but the decoder, which goes on from the checkpoint's: the fine-tuning of ICRA 2019, section IV."""
    ENCODER = "encoder"
    """All but the decoder, which begins anew."""
    TRUNK = "trunk"
    """All but the decoder, which begins anew, and the encoder's head, which is fine-tuned with it."""
    NOTHING = "nothing"
    """The decoder begins anew, and the whole encoder learns with it: Perspective-n-Learned-Point."""


class DepthLoss(str, Enum):
    """How far inferred depth is from what is known; of a network with uncertainty it is a likelihood."""

    SCALE = "scale"
    """L1 in units of the depth scale, the sky taken as far: ICRA 2019, section III."""
    METRES = "metres"
    """L1 in metres at each level of the decoder, where depth is known: Perspective-n-Learned-Point."""


class DepthTraining(BaseModel):
    """How long and how fast a network's depth is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=30, ge=1, description="passes over the images")
    learning_rate: float = Field(
        default=2e-4, gt=0, description="Adam's at first, for the decoder; it falls to 0 as a cosine"
    )
    encoder_learning_rate: float = Field(
        default=1e-4, gt=0, description="likewise, for what of the encoder is trained"
    )
    weight_decay: float = Field(default=1e-3, ge=0, description="Adam's")
    depth_loss: DepthLoss = Field(
        default=DepthLoss.SCALE,
        description="L1 in units of the depth scale, the sky taken as far; or in metres, of known depth",
    )
    precision: Precision = Field(default=Precision.FLOAT32, description="of convolutions while training")
    augmentation: bool = Field(
        default=False, description="change the images' brightness and colours strongly"
    )
    seed: int = Field(default=0, ge=0, description="the same seed trains the same network")


def run_records(
    name: str,
    protocol_name: str,
    network: NetworkConfig,
    freeze: Freeze,
    protocol: DepthTraining,
    learned_from: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the config of a run's folder and the provenance of the network that it trains.

    Args:
        name: of the system that results.
        learned_from: names of the parent network and of the sources.
    """
    settings = {"freeze": freeze.value, **protocol.model_dump(mode="json", exclude={"seed"})}
    config = {
        "system": {"name": name, "network": network.model_dump()},
        "protocol": {"name": protocol_name, **settings},
        "seed": protocol.seed,
        **learned_from,
    }
    provenance = {
        "system": name,
        "protocol": protocol_name,
        "seed": protocol.seed,
        "freeze": freeze.value,
        **learned_from,
    }
    return config, provenance


class DepthProtocol(DepthTraining):
    """How a depth decoder is trained on pairs of an image and a depth map."""

    pairs: int = Field(
        default=1000, ge=1, description="most pairs to take, drawn from all, and as many of the day's"
    )
    pairs_a_batch: int = Field(
        default=20, ge=2, description="pairs of a mini-batch, half of them the day's where these are given"
    )
