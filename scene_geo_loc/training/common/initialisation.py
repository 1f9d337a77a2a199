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

"""The first weights of a network to be trained: those of encoders and decoder, and the fit of its
poolings.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from scene_geo_loc.core.errors import CheckpointError, SceneGeoLocError
from scene_geo_loc.metrics.learned_depth import decoder_of
from scene_geo_loc.networks.architecture.checkpoint import default_scene_network, digest, load_checkpoint
from scene_geo_loc.networks.architecture.descriptors import DESCRIPTORS
from scene_geo_loc.networks.architecture.encoders import Encoder
from scene_geo_loc.networks.architecture.network_config import NetworkConfig
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.architecture.weights import fill_in
from scene_geo_loc.training.common.config import IMAGENET, NO_WEIGHTS, SystemConfig, load_system
from scene_geo_loc.training.common.protocols import Freeze, Task

FIT_IMAGES = 380
"""Images that poolings are fitted to: with AlexNet 64,220 local features, about as many as k-means uses."""
_BATCH = 16


def new_network(config: SystemConfig, seed: int) -> SceneNetwork:
    """Returns the network of a system with the first weights it names; all others follow from the seed.

    Raises CheckpointError if weights are not available or of another architecture.
    """
    torch.manual_seed(seed)
    network = SceneNetwork(config.network)
    load_encoder(network.encoder, config.encoder_weights)
    if network.descriptor.second_encoder is not None:
        load_encoder(network.descriptor.second_encoder, config.depth_encoder_weights)
    if network.descriptor.infers_depth and config.decoder_weights != NO_WEIGHTS:
        load_decoder(network, Path(config.decoder_weights))
    return network


def first_weights(config: SystemConfig) -> dict[str, str]:
    """Returns the first weights of each part of a system, for the provenance of its checkpoints.

    They are "imagenet", "none" for random ones, or the name of a file and its SHA-256.

    Raises CheckpointError if a file cannot be read.
    """
    parts = {"encoder": config.encoder_weights}
    if config.network.system.has_second_encoder:
        parts["depth_encoder"] = config.depth_encoder_weights
    if config.network.system.has_decoder:
        parts["decoder"] = config.decoder_weights
    return {part: named_weights(weights) for part, weights in parts.items()}


def named_weights(weights: str) -> str:
    """Returns the name of weights for a provenance, see `first_weights`."""
    if weights in (IMAGENET, NO_WEIGHTS):
        return weights
    try:
        return f"{Path(weights).name}, SHA-256 {hashlib.sha256(Path(weights).read_bytes()).hexdigest()}"
    except OSError as error:
        raise CheckpointError(
            f"{weights} cannot be read ({error.strerror}): name an existing file."
        ) from error


def load_encoder(encoder: Encoder, weights: str) -> None:
    """Loads ImageNet weights or those of a file, or leaves them random.

    Raises CheckpointError if they are not available or of another architecture.
    """
    if weights == IMAGENET:
        encoder.load_imagenet_weights()
    elif weights != NO_WEIGHTS:
        encoder.load_weights(Path(weights))


def load_decoder(network: SceneNetwork, path: Path) -> None:
    """Loads the decoder of a checkpoint.

    Raises CheckpointError if it cannot be read, has no decoder, or one for another encoder or depth scale.
    """
    given, _ = load_checkpoint(path)
    decoder, wanted = decoder_of(given), decoder_of(network)
    assert wanted is not None
    if decoder is None:
        raise CheckpointError(
            f"{path} has no depth decoder, for its descriptor is {given.config.descriptor!r}: train the "
            f"depth of a network with freeze {Freeze.ENCODER.value}, and name that."
        )
    if given.config.depth_scale != network.config.depth_scale:
        raise CheckpointError(
            f"The decoder of {path} has the depth scale {given.config.depth_scale} and the system "
            f"{network.config.depth_scale}: train a decoder of that depth scale."
        )
    fill_in(wanted, decoder.state_dict(), path)


def network_for_depth(
    start: str,
    freeze: Freeze,
    seed: int,
    new_decoder: Mapping[str, str | bool],
    weights: Path | None = None,
) -> tuple[SceneNetwork, dict[str, Any]]:
    """Returns the network whose depth is to be trained, and its provenance.

    A network without depth becomes one that describes images in the same way and infers depth.  If the
    encoder is frozen, all weights but the decoder's are kept; else only those of the encoder.

    Args:
        start: file of a checkpoint; or the name or file of a system's config, for a new network.
        freeze: the part that stays fixed.
        seed: of all new weights.
        new_decoder: fields of the network's config for a new decoder, such as `depth_scale`.
        weights: file of first weights of a new network's encoder; None: those named by its system.

    Raises CheckpointError if the decoder is to be fine-tuned and there is none or another one is asked for,
    or if the network cannot infer depth; SceneGeoLocError if there is no such system or decoder.
    """
    before, origin = _start(start, seed, weights)
    config = before.config
    changes = {name: value for name, value in new_decoder.items() if value != getattr(config, name)}
    if freeze is not Freeze.DESCRIPTOR:
        kept = "" if freeze is Freeze.ENCODER else "encoder."
        network = _with_depth(before, changes, start)
        _fill_in_some(network, before, lambda key: key.startswith(kept) and not key.startswith(_DECODER))
        return network, origin
    if decoder_of(before) is None:
        raise CheckpointError(
            f"{start} has no depth decoder to fine-tune, for its descriptor is {config.descriptor!r}: "
            f"train a new one with freeze {Freeze.ENCODER.value}."
        )
    if changes:
        raise CheckpointError(
            f"The decoder of {start} has {_in_words(config, changes)}, which fine-tuning keeps: "
            f"train a new one with freeze {Freeze.ENCODER.value}."
        )
    return before, origin


def network_for_scenes(
    start: str, freeze: Freeze, seed: int, changes: Mapping[str, str | bool], tasks: Collection[Task]
) -> tuple[SceneNetwork, dict[str, Any]]:
    """Returns the network to be trained for these tasks, and its provenance.

    A decoder or learned local features that it lacks are new; all other weights are kept.  If the encoder is
    trained and places are not among the tasks, or keypoints are no part of the descriptor any more, this must
    be fitted again.

    Args:
        start: file of a checkpoint; "default" for the default network; or the name or file of a system's
            config, for a new network.
        freeze: the part that stays fixed.
        seed: of all new weights.
        changes: fields of the network's config to change, such as `decoder`.
        tasks: to train for.

    Raises CheckpointError and SceneGeoLocError as `network_for_depth` does.
    """
    before, origin = _start(start, seed)
    changes = {name: value for name, value in changes.items() if value != getattr(before.config, name)}
    if {Task.DEPTH, Task.VIEWS} & set(tasks):
        network = _with_depth(before, changes, start)
    else:
        network = SceneNetwork(_changed(before.config, changes, start))
    keeps_decoder = not changes.keys() & {"decoder", "depth_scale", "uncertainty"}
    _fill_in_some(network, before, lambda key: keeps_decoder or not key.startswith(_DECODER))
    loses_keypoints = network.config.describes_keypoints != before.config.describes_keypoints
    if loses_keypoints or (freeze in (Freeze.TRUNK, Freeze.NOTHING) and Task.PLACES not in tasks):
        network.fitted.fill_(False)
    return network, origin


def parent_of(start: str) -> str:
    """Returns the digest of the network that training starts from; empty for a new network."""
    return digest(_start(start, seed=0)[0]) if _is_trained(start) else ""


_DECODER = "descriptor.decoder."


def start_network(start: str, seed: int) -> SceneNetwork:
    """Returns the network that training starts from.

    Args:
        start: file of a checkpoint; "default" for the default network; or the name or file of a system's
            config, for a new network.
        seed: of all new weights.

    Raises CheckpointError and SceneGeoLocError where there is none.
    """
    return _start(start, seed)[0]


def _is_trained(start: str) -> bool:
    return start == "default" or Path(start).suffix == ".safetensors"


def _start(start: str, seed: int, weights: Path | None = None) -> tuple[SceneNetwork, dict[str, Any]]:
    """Returns the network that training starts from, and its provenance."""
    torch.manual_seed(seed)
    if weights is not None and _is_trained(start):
        raise CheckpointError(
            f"{start} has weights of its own, and {weights} are those of a new network: leave out --weights, "
            "or name a system."
        )
    if start == "default":
        return default_scene_network()
    if _is_trained(start):
        return load_checkpoint(Path(start))
    system = load_system(start).with_weights(weights, None, None)
    return new_network(system, seed), {"system": system.name}


def _with_depth(before: SceneNetwork, changes: Mapping[str, str | bool], start: str) -> SceneNetwork:
    """Returns a network that describes images like this one and infers depth, with new weights."""
    if (descriptor := before.descriptor.with_depth) is not None:
        changes = {**changes, "descriptor": descriptor}
    config = _changed(before.config, changes, start)
    if not config.system.infers_depth:
        usable = [name for name, system in DESCRIPTORS.items() if system.infers_depth or system.with_depth]
        raise CheckpointError(
            f"{start} has the descriptor {config.descriptor!r}, which infers no depth: name a network "
            f"with one of {', '.join(usable)}."
        )
    return SceneNetwork(config)


def _changed(config: NetworkConfig, changes: Mapping[str, str | bool], start: str) -> NetworkConfig:
    fields = {**config.model_dump(), **changes}
    if "local_features" in changes:
        fields["describes_keypoints"] = False
    try:
        return NetworkConfig.model_validate(fields)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise SceneGeoLocError(f"{start}: {message}.") from error


def _fill_in_some(network: SceneNetwork, before: SceneNetwork, takes: Callable[[str], bool]) -> None:
    """Copies the weights of another network that `takes` accepts and that this network has."""
    own = network.state_dict()
    weights = {
        key: value
        for key, value in before.state_dict().items()
        if takes(key) and key in own and own[key].shape == value.shape
    }
    network.load_state_dict(weights, strict=False)
    network.eval()


def _in_words(config: NetworkConfig, fields: Iterable[str]) -> str:
    return ", ".join(f"the {name.replace('_', ' ')} {getattr(config, name)}" for name in fields)


def fit_poolings(network: SceneNetwork, images: Tensor, depth_m: Tensor | None) -> None:
    """Fits the poolings of a network before training.

    Args:
        network: not trained yet.
        images: (N, H, W, 3) uint8.
        depth_m: (N, H, W) true depth in metres, to which the pooling of inferred depth is fitted, since the
            decoder is untrained; None: it is fitted to the inferred depth.
    """
    device = network.fitted.device
    network.fit_poolings(network.normalise(batch.to(device).float()) for batch in images.split(_BATCH))
    if depth_m is not None:
        depth = network.depth_scale.normalise(depth_m)[:, None]
        network.descriptor.fit_to_depth([batch.to(device) for batch in depth.split(_BATCH)])
