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

"""torch, on any of its devices; for training machines, where it is installed anyway."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from scene_geo_loc.networks.architecture.checkpoint import scene_network_from
from scene_geo_loc.networks.architecture.export import ForwardPass
from scene_geo_loc.networks.inference_network import InferenceNetwork
from scene_geo_loc.networks.runtime.backends import Backend, Outputs


class TorchBackend(Backend):
    """torch, with the layers and weights that the graph was made from."""

    def __init__(self, network: InferenceNetwork, device: str) -> None:
        self.name = "torch" if device == "cpu" else f"torch {device}"
        self._device = torch.device(device)
        forward = ForwardPass(scene_network_from(network))
        self._forward = forward.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def run(self, image: NDArray[np.uint8]) -> Outputs:
        """See `Backend.run`."""
        pixels = torch.from_numpy(np.ascontiguousarray(image))[None].to(self._device)
        outputs = self._forward(pixels)
        return {
            name: output[0].cpu().numpy() for name, output in zip(self._forward.outputs, outputs, strict=True)
        }


def has_cuda() -> bool:
    """Returns whether torch can use a GPU."""
    return torch.cuda.is_available()
