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


"""The posed images of a place, packed with their depth, that scene coordinates are trained with."""

from __future__ import annotations

from pathlib import Path

from scene_geo_loc.networks.inference_network import input_size_for
from scene_geo_loc.packs.posed_images import pack_posed_images
from scene_geo_loc.training.common.callbacks import RunCallback
from scene_geo_loc.training.common.localizer_map import first_frame
from scene_geo_loc.training.pose_regression.images import PlaceImages
from scene_geo_loc.traversals.frame import Traversal


def open_place(
    traversal: Traversal,
    out: Path,
    input_width: int,
    multiple: int,
    validation_every: int,
    callback: RunCallback,
) -> PlaceImages:
    """Returns the packed images of a source with their depth, split for the training.

    Raises SceneGeoLocError where the images do not suffice.
    """
    first = first_frame(traversal)
    area = round(input_width**2 * first.camera.height / first.camera.width)
    size = input_size_for(first.camera.width, first.camera.height, multiple, max(area, 4 * multiple**2))
    with callback.packing("packing") as on_packing:
        packs = out.with_name(f"{out.name}.packs")
        images = pack_posed_images([traversal], packs / "depth", size, on_packing)
    return PlaceImages(images, validation_every)
