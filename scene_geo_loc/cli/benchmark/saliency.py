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

"""`scene-geo-loc benchmark saliency`: pictures of what a pose regressor looks at."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import Device, MapFolder


def saliency(
    map_folder: MapFolder,
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Bag or dataset with images.")],
    picture: Annotated[Path, typer.Argument(metavar="PICTURE", help="File to write, .png or .jpg.")],
    *,
    images: Annotated[int, typer.Option(min=1, max=20, help="Number of images, spread over the source.")] = 3,
    device: Device = "auto",
) -> None:
    """Draw what a pose regressor looks at: how far its position moves where a part of an image is hidden.

    Example:  scene-geo-loc benchmark saliency street_regressor evening.bag saliency.jpg
    """
    import cv2

    from scene_geo_loc.benchmarks.poses.localizers.maps import thinned
    from scene_geo_loc.benchmarks.poses.localizers.saliency import saliency_of, saliency_sheet
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.core.atomic import write_aside
    from scene_geo_loc.core.errors import SceneGeoLocError
    from scene_geo_loc.localization.pose_localizer import open_localizer
    from scene_geo_loc.localization.pose_regression.localizer import PoseRegressor
    from scene_geo_loc.localization.query import CameraImage
    from scene_geo_loc.traversals.opening import open_traversal

    regressor = open_localizer(map_folder, device=device)
    if not isinstance(regressor, PoseRegressor):
        raise SceneGeoLocError(f"{map_folder} regresses no poses: name a map of `train pose`.")
    found = []
    frames = islice(thinned(open_traversal(source), images).frames(), images)
    for number, frame in enumerate(frames, start=1):
        with progress(f"hiding parts of image {number}", "parts") as on_progress:
            saliency = saliency_of(
                regressor, CameraImage(frame.image, frame.camera, depth=frame.depth), on_progress
            )
        if saliency is not None:
            found.append(saliency)
    if not found:
        raise SceneGeoLocError(
            f"No image of {source} shows what the cameras of the training saw: name images of such a lens."
        )
    encoded, data = cv2.imencode(picture.suffix or ".png", saliency_sheet(found)[..., ::-1])
    if not encoded:
        raise SceneGeoLocError(f"{picture} cannot be written as a picture: name a .png or .jpg file.")
    write_aside(picture, data.tobytes())
    largest = max(float(saliency.moves_m.max()) for saliency in found)
    typer.echo(f"{picture}: {len(found)} images; hiding a part moves the position by up to {largest:.2f} m.")
