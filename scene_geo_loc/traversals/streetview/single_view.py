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

"""A view of a single panorama, without a set."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.geometry.camera import Camera
from scene_geo_loc.geometry.equirectangular import R_enu_panorama
from scene_geo_loc.traversals.streetview.metadata.gpano import read_gpano
from scene_geo_loc.traversals.streetview.panorama import Panorama, read_panorama_image
from scene_geo_loc.traversals.streetview.rectified import RectifiedView, panorama_width, rectified


def view_of_file(
    image: Path,
    camera: Camera,
    heading_deg: float,
    pitch_deg: float,
    panorama_heading_deg: float | None = None,
) -> RectifiedView:
    """Returns the view of a panorama in a file.

    Args:
        image: the file.
        camera: camera of the view.
        heading_deg, pitch_deg: direction of the view, clockwise from north and up from the horizon.
        panorama_heading_deg: heading of the centre column of a level panorama; None for heading, pitch and
            roll of the image's GPano tags, which are 0 where it has none.

    Raises TraversalError where the image cannot be read, or is no panorama.
    """
    tags = read_gpano(image)
    if not tags.is_equirectangular:
        raise TraversalError(f"{image}: its projection is {tags.projection}; known is equirectangular.")
    if panorama_heading_deg is None:
        R_enu_image = R_enu_panorama(tags.heading or 0.0, tags.pitch or 0.0, tags.roll or 0.0)
    else:
        R_enu_image = R_enu_panorama(panorama_heading_deg)
    panorama = Panorama(image.name, image, np.eye(4), 0, area=tags.area)
    pixels = read_panorama_image(panorama, panorama_width(camera))
    return rectified(pixels, camera, R_enu_image.T @ R_enu_panorama(heading_deg, pitch_deg))
