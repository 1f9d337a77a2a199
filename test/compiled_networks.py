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

"""Starts equal backends once a test process: many tests build a map or a localizer with the same weights."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING

from scene_geo_loc.networks.runtime.backends import threads
from scene_geo_loc.networks.runtime.extractor import start_backend

if TYPE_CHECKING:
    from scene_geo_loc.networks.inference_network import InferenceNetwork
    from scene_geo_loc.networks.runtime.backends import Backend

_KEPT = 8
_backends: OrderedDict[Hashable, Backend] = OrderedDict()


def start_backend_once(network: InferenceNetwork, device: str) -> Backend:
    """Returns what `start_backend` does, from memory for an equal graph and size."""
    key = (hash(network.graph), network.input_width, network.input_height, device, threads())
    if key not in _backends:
        _backends[key] = start_backend(network, device)
        if len(_backends) > _KEPT:
            _backends.popitem(last=False)
    _backends.move_to_end(key)
    return _backends[key]
