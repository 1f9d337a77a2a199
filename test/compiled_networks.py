"""Compiles each network once a test process: many tests build a map or a localizer with the same weights."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import torch

from scene_geo_loc.networks.runtime.backends import choose_backend

if TYPE_CHECKING:
    from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
    from scene_geo_loc.networks.runtime.backends import Backend

_KEPT = 8
_backends: OrderedDict[int, Backend] = OrderedDict()


def choose_backend_once(network: SceneNetwork, device: torch.device) -> Backend:
    """Returns what `choose_backend` does, from memory for a network of equal configuration and weights."""
    tensors = [(name, value.cpu().numpy().tobytes()) for name, value in network.state_dict().items()]
    key = hash((network.config.model_dump_json(), *tensors, str(device), torch.get_num_threads()))
    if key not in _backends:
        _backends[key] = choose_backend(network, device)
        if len(_backends) > _KEPT:
            _backends.popitem(last=False)
    _backends.move_to_end(key)
    return _backends[key]
