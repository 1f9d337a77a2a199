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

"""Base of the encoders that are built of torchvision's modules."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.networks.architecture.encoders.base import Encoder
from scene_geo_loc.networks.architecture.weights import fill_in


class TorchvisionEncoder(Encoder):
    """An encoder of torchvision's modules, with torchvision's tensor names and pixel normalisation.

    torchvision is imported only when such an encoder is made, since the import takes seconds.
    """

    imagenet_weights: ClassVar[str]
    """Name of the weights in torchvision."""
    mean = (0.485 * 255, 0.456 * 255, 0.406 * 255)
    std = (0.229 * 255, 0.224 * 255, 0.225 * 255)

    def load_imagenet_weights(self) -> None:
        """Loads them from torchvision's cache on disk, or else over the network."""
        from torchvision.models import get_weight

        try:
            tensors = get_weight(self.imagenet_weights).get_state_dict(progress=False, check_hash=True)
        except (OSError, RuntimeError) as error:  # no network, or a file with another hash
            raise CheckpointError(
                f"{self.imagenet_weights} of torchvision could not be fetched ({error}): name a file of "
                "weights, or train them from another encoder's features, which needs no network."
            ) from error
        fill_in(self, dict(tensors), Path(self.imagenet_weights))
