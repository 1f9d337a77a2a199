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

"""GPano: the XMP tags of Photo Sphere, which say how a panorama lies and which part of it an image shows.

Source: Google, Photo Sphere XMP Metadata (namespace http://ns.google.com/photos/1.0/panorama/).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from scene_geo_loc.traversals.streetview.image_file import ImageHeader, read_header
from scene_geo_loc.traversals.streetview.panorama import PanoramaArea, is_whole_sphere

_NAMESPACE = "{http://ns.google.com/photos/1.0/panorama/}"


@dataclass(frozen=True)
class GPano:
    """Tags of an image.

    Attributes:
        heading, pitch, roll: of the centre of the whole panorama, degrees; None where there is no such tag.
        projection: name of the projection; None where there is no such tag.
        area: part of the panorama that the image shows; None for all, or where the tags do not say it.
        size: size of the image; None where its header cannot be read.
    """

    heading: float | None = None
    pitch: float | None = None
    roll: float | None = None
    projection: str | None = None
    area: PanoramaArea | None = None
    size: tuple[int, int] | None = None

    @property
    def is_equirectangular(self) -> bool:
        """False where the tags name another projection."""
        return self.projection in (None, "equirectangular")

    @property
    def is_complete(self) -> bool:
        """False where the image is no whole panorama and the tags do not say which part it shows."""
        return self.area is not None or self.size is None or is_whole_sphere(*self.size)


def read_gpano(path: Path) -> GPano:
    """Reads the tags of an image file."""
    return gpano_of(read_header(path))


def gpano_of(header: ImageHeader) -> GPano:
    """Returns the tags in a header; those that are missing or damaged are None."""
    tags = _tags(header.xmp or b"")
    numbers = {name: _number(text) for name, text in tags.items()}
    projection = tags.get("ProjectionType")
    return GPano(
        numbers.get("PoseHeadingDegrees"),
        numbers.get("PosePitchDegrees"),
        numbers.get("PoseRollDegrees"),
        projection.lower() if projection else None,
        _area(numbers, header.size),
        header.size,
    )


def _tags(xmp: bytes) -> dict[str, str]:
    text = xmp.decode("utf-8", "replace").strip("\0 \r\n\t\ufeff")
    # No declarations of entities, which could expand to gigabytes: XMP has none.
    if "<!DOCTYPE" in text or "<!ENTITY" in text or _NAMESPACE[1:-1] not in text:
        return {}
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return {}
    tags = {}
    for element in root.iter():
        for name, value in ((element.tag, element.text or ""), *element.items()):
            if name.startswith(_NAMESPACE):
                tags[name[len(_NAMESPACE) :]] = value.strip()
    return tags


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _area(numbers: dict[str, float | None], size: tuple[int, int] | None) -> PanoramaArea | None:
    """Returns the area where the tags say one that is possible and not the whole panorama."""
    named = [
        numbers.get(f"{name}Pixels")
        for name in (
            "FullPanoWidth",
            "FullPanoHeight",
            "CroppedAreaLeft",
            "CroppedAreaTop",
            "CroppedAreaImageWidth",
            "CroppedAreaImageHeight",
        )
    ]
    numbers_given = [number for number in named if number is not None]
    if size is None or len(numbers_given) < len(named) or max(map(abs, numbers_given)) > 2**20:
        return None
    area = PanoramaArea(*map(round, numbers_given))
    is_possible = (
        is_whole_sphere(area.full_width, area.full_height)
        and 0 < area.width <= area.full_width
        and area.height > 0
        and 0 <= area.left < area.full_width
        and area.top >= 0
        and area.top + area.height <= area.full_height + 1
        and abs(size[0] * area.height - size[1] * area.width) <= 0.02 * size[0] * area.height
    )
    is_whole = area.width == area.full_width and area.height == area.full_height
    return area if is_possible and not is_whole else None
