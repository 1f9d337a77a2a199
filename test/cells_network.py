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

"""A network whose local features belong to the cells of a grid, as those of older maps do."""

from __future__ import annotations

from pathlib import Path

import torch

from scene_geo_loc.networks.architecture.checkpoint import default_scene_network, save_checkpoint
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork


def cells_network() -> SceneNetwork:
    """Returns the default network, for images of 160 x 120, with untrained features of cells."""
    trained, _ = default_scene_network()
    config = trained.config.model_copy(update={"local_features": "learned", "describes_keypoints": False})
    torch.manual_seed(0)
    network = SceneNetwork(config.with_input_for(160, 120))
    weights = trained.state_dict()
    changed = ("local_features.", "projection.")
    kept = [name for name in network.state_dict() if not name.startswith(changed)]
    network.load_state_dict({name: weights[name] for name in kept}, strict=False)
    return network.eval()


def write_cells_network(path: Path) -> Path:
    """Writes the checkpoint of `cells_network`."""
    save_checkpoint(cells_network(), path, {})
    return path
