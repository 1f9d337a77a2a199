"""What a network begins its training with: weights of its encoders and decoder, centres of its poolings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from scene_geo_loc.errors import CheckpointError, SceneGeoLocError
from scene_geo_loc.evaluation.learned_depth import decoder_of
from scene_geo_loc.networks.checkpoint import load_checkpoint
from scene_geo_loc.networks.descriptors import DESCRIPTORS
from scene_geo_loc.networks.descriptors.rgbtd import RGBPlus, RGBtD, encode_depth
from scene_geo_loc.networks.encoders import Encoder
from scene_geo_loc.networks.encoders.weights import fill_in
from scene_geo_loc.networks.network_config import NetworkConfig
from scene_geo_loc.networks.pooling import Pooling
from scene_geo_loc.networks.scene_network import SceneNetwork
from scene_geo_loc.training.depth_protocol import Freeze
from scene_geo_loc.training.training_config import IMAGENET, NO_WEIGHTS, SystemConfig, load_system

FIT_IMAGES = 380
"""Images whose local features centres are sought in: 64,220 features of AlexNet, as many as k-means takes."""
_BATCH = 16


def new_network(config: SystemConfig, seed: int) -> SceneNetwork:
    """The network of a system with the weights that its parts begin with; the rest follows from the seed.

    Raises CheckpointError where weights are not at hand or of another architecture.
    """
    torch.manual_seed(seed)
    network = SceneNetwork(config.network)
    load_encoder(network.encoder, config.encoder_weights)
    if network.descriptor.second_encoder is not None:
        load_encoder(network.descriptor.second_encoder, config.depth_encoder_weights)
    if network.descriptor.infers_depth and config.decoder_weights != NO_WEIGHTS:
        load_decoder(network, Path(config.decoder_weights))
    return network


def load_encoder(encoder: Encoder, weights: str) -> None:
    """Fills in the weights of ImageNet, of a file, or leaves them random.

    Raises CheckpointError where they are not at hand or of another architecture.
    """
    if weights == IMAGENET:
        encoder.load_imagenet_weights()
    elif weights != NO_WEIGHTS:
        encoder.load_weights(Path(weights))


def load_decoder(network: SceneNetwork, path: Path) -> None:
    """Fills in the decoder of a checkpoint, of `train depth` say.

    Raises CheckpointError where it cannot be read, has no decoder, or one for another encoder or scale.
    """
    given, _ = load_checkpoint(path)
    decoder, wanted = decoder_of(given), decoder_of(network)
    assert wanted is not None
    if decoder is None:
        raise CheckpointError(
            f"{path} has no depth decoder, for its descriptor is {given.config.descriptor!r}: train one with "
            "`train depth --freeze encoder`."
        )
    if given.config.depth_scale != network.config.depth_scale:
        raise CheckpointError(
            f"The decoder of {path} has the depth scale {given.config.depth_scale}, and the system has "
            f"{network.config.depth_scale}: train one with `train depth --depth-scale`."
        )
    fill_in(wanted, decoder.state_dict(), path)


def network_for_depth(
    start: str, freeze: Freeze, seed: int, new_decoder: Mapping[str, str | bool]
) -> tuple[SceneNetwork, dict[str, Any]]:
    """The network whose depth is to be trained, and its provenance; the decoder as `freeze` says.

    A network of the descriptor "rgb" becomes one of "rgb_depth".  What it is used for stays of use where the
    encoder is frozen; else only the encoder's weights are kept.

    Args:
        start: file of a checkpoint, or the name or file of a system's config, of which it begins anew.
        freeze: what stays as it is.
        seed: of all new weights.
        new_decoder: fields of the network's config that a new decoder is to have, such as `depth_scale`.

    Raises CheckpointError where the decoder is to go on and there is none, or is to be another one, or the
    start is of no use; SceneGeoLocError where there is no such system or decoder.
    """
    torch.manual_seed(seed)
    if Path(start).suffix == ".safetensors":
        before, origin = load_checkpoint(Path(start))
    else:
        system = load_system(start)
        before, origin = new_network(system, seed), {"system": system.name}
    config = before.config
    changes = {name: value for name, value in new_decoder.items() if value != getattr(config, name)}
    if freeze is Freeze.DESCRIPTOR:
        if decoder_of(before) is None:
            raise CheckpointError(
                f"{start} has no depth decoder to fine-tune, for its descriptor is {config.descriptor!r}: "
                f"train a new one with --freeze {Freeze.ENCODER.value}."
            )
        if changes:
            raise CheckpointError(
                f"The decoder of {start} has {_in_words(config, changes)}, which stays: "
                f"train a new one with --freeze {Freeze.ENCODER.value}."
            )
        return before, origin
    if config.descriptor == "rgb":
        changes["descriptor"] = "rgb_depth"
    try:
        config = NetworkConfig.model_validate({**config.model_dump(), **changes})
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise SceneGeoLocError(f"{start}: {message}.") from error
    if not DESCRIPTORS[config.descriptor].infers_depth:
        raise CheckpointError(
            f"{start} has the descriptor {config.descriptor!r}, which has no place for depth: name a network "
            "of rgb, rgb_depth or rgbtd."
        )
    network = SceneNetwork(config)
    kept = "" if freeze is Freeze.ENCODER else "encoder."
    weights = {key: value for key, value in before.state_dict().items() if key.startswith(kept)}
    network.load_state_dict(
        {key: value for key, value in weights.items() if not key.startswith("descriptor.decoder.")},
        strict=False,
    )
    return network.eval(), origin


def _in_words(config: NetworkConfig, fields: Iterable[str]) -> str:
    return ", ".join(f"the {name.replace('_', ' ')} {getattr(config, name)}" for name in fields)


def fit_poolings(network: SceneNetwork, images: Tensor, depth_m: Tensor | None) -> None:
    """Seeks the centres of poolings that have some by k-means on the local features of images.

    Args:
        network: not trained yet.
        images: (N, H, W, 3) uint8.
        depth_m: (N, H, W) true depth in metres, for the pooling of an inferred depth, of which an untrained
            decoder can give no idea; None: that depth it is, nevertheless.
    """
    device = network.fitted.device
    network.fit_poolings(network.normalise(batch.to(device).float()) for batch in images.split(_BATCH))
    system = network.descriptor
    if depth_m is None or not isinstance(system, RGBtD) or isinstance(system, RGBPlus):
        return
    assert system.second_encoder is not None
    pooling = system.poolings[1]
    assert isinstance(pooling, Pooling)
    depth = network.depth_scale.normalise(depth_m)[:, None]
    features = [_depth_features(system, pooling, batch.to(device)) for batch in depth.split(_BATCH)]
    pooling.fit(np.concatenate(features), system.second_encoder.netvlad_sharpness)


@torch.no_grad()
def _depth_features(system: RGBtD, pooling: Pooling, depth: Tensor) -> NDArray[np.float32]:
    assert system.second_encoder is not None
    late = encode_depth(system.second_encoder, system.colouring, depth)
    return pooling.local_features(late).flatten(0, 1).cpu().numpy()
