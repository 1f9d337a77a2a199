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

"""Metadata of images as Mapillary and KartaView give them, as rows of an index.

Sources: Mapillary API v4 (entity `image`), mapillary_tools (`mapillary_image_description.json`), OpenSfM
(coordinate systems, which Mapillary's `computed_rotation` is in), KartaView API 1.0 and 2.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from scene_geo_loc.geometry.equirectangular import heading_of
from scene_geo_loc.geometry.rotation import matrix_of_vector
from scene_geo_loc.traversals.streetview.index import row_of

_MOST_APART_DEG = 10.0
"""Largest difference of Mapillary's compass angle and rotation; beyond it the rotation is not used."""

_SPHERICAL = {"spherical", "equirectangular"}


@dataclass(frozen=True)
class ServiceRecord:
    """Metadata of an image.

    Attributes:
        names: names, without folder and suffix, that its file may have.
        values: columns of the index.
        is_panorama: False where the metadata say that it is none.
        sequence: id of the sequence that it was taken in; None where unknown.
    """

    names: tuple[str, ...]
    values: Mapping[str, Any]
    is_panorama: bool
    sequence: str | None

    @property
    def has_position(self) -> bool:
        """Returns whether the columns but the time make a row."""
        try:
            row_of({**self.values, "file": "image", "time": None})
        except (ValueError, TypeError, KeyError, OverflowError):
            return False
        return True


def records_in(content: Any) -> Iterator[ServiceRecord]:
    """Yields the records in the content of a JSON file: an image, a list, or what a service answers."""
    if isinstance(content, list):
        for item in content:
            yield from records_in(item)
    elif isinstance(content, dict):
        for reader in (_mapillary, _mapillary_description, _kartaview):
            record = reader(content)
            if record is not None:
                yield record
                return
        for name in ("data", "osv", "result", "photos", "features", "currentPageItems"):
            if isinstance(content.get(name), list | dict):
                yield from records_in(content[name])


def _mapillary(entity: dict[str, Any]) -> ServiceRecord | None:
    """Returns the record of an entity of the API, or of a feature of its vector tiles."""
    properties = entity.get("properties")
    image = {**entity, **properties} if isinstance(properties, dict) else entity
    computed, measured = _point(image.get("computed_geometry")), _point(image.get("geometry"))
    point = computed or measured
    if point is None or "id" not in image or not {"captured_at", "compass_angle"} & set(image):
        return None
    values: dict[str, Any] = {"longitude": point[0], "latitude": point[1], "time": _of_millis(image)}
    if computed:
        values["altitude"] = _finite(image.get("computed_altitude"))
        values["heading"] = _angle(image.get("computed_compass_angle"))
    else:
        values["altitude"] = _finite(image.get("altitude"))
    if values.get("heading") is None:
        values["heading"] = _angle(image.get("compass_angle"))
    values.update(_orientation(image.get("computed_rotation"), values["heading"]) if computed else {})
    kind = image.get("camera_type")
    is_panorama = kind in _SPHERICAL if isinstance(kind, str) else image.get("is_pano") is not False
    sequence = image.get("sequence") or image.get("sequence_id")
    return ServiceRecord((str(image["id"]),), values, is_panorama, str(sequence) if sequence else None)


def _orientation(rotation: Any, heading: float | None) -> dict[str, float]:
    """Returns heading, pitch and roll of `computed_rotation`, where it agrees with the compass angle.

    It is the axis times the angle of the rotation from the topocentric frame (east, north, up) to the
    camera's axes (x right, y down, z forward), as OpenSfM's poses are.
    """
    try:
        vector = np.array([float(number) for number in rotation], np.float64)
    except (TypeError, ValueError):
        return {}
    if heading is None or vector.shape != (3,) or not np.isfinite(vector).all():
        return {}
    R_enu_camera = matrix_of_vector(vector).T
    found = float(heading_of(R_enu_camera))
    if abs((found - heading + 180.0) % 360.0 - 180.0) > _MOST_APART_DEG:
        return {}
    pitch = float(np.degrees(np.arcsin(np.clip(R_enu_camera[2, 2], -1, 1))))
    roll = float(np.degrees(np.arctan2(-R_enu_camera[2, 0], -R_enu_camera[2, 1])))
    return {"heading": found, "pitch": pitch, "roll": roll}


def _mapillary_description(image: dict[str, Any]) -> ServiceRecord | None:
    """Returns the record of an image as mapillary_tools describes it."""
    if "MAPLatitude" not in image or "MAPLongitude" not in image:
        return None
    compass = image.get("MAPCompassHeading")
    values = {
        "latitude": image["MAPLatitude"],
        "longitude": image["MAPLongitude"],
        "altitude": _finite(image.get("MAPAltitude")),
        "heading": _angle(compass.get("TrueHeading")) if isinstance(compass, dict) else None,
        "time": _of_underscores(image.get("MAPCaptureTime")),
    }
    return ServiceRecord((_stem(image.get("filename")),), values, True, image.get("MAPSequenceUUID"))


def _kartaview(photo: dict[str, Any]) -> ServiceRecord | None:
    """Returns the record of a photo of KartaView."""
    longitude = photo.get("lng", photo.get("lon"))
    index = photo.get("sequenceIndex", photo.get("sequence_index"))
    if "lat" not in photo or longitude is None or index is None:
        return None
    values = {
        "latitude": photo["lat"],
        "longitude": longitude,
        "heading": _angle(photo.get("heading")),
        "time": photo.get("shotDate", photo.get("shot_date")),
    }
    paths = (photo.get(name) for name in ("name", "filepath", "fileurl", "fileurlProc"))
    names = [_stem(path) for path in paths if isinstance(path, str)] + [str(photo.get("id", "")), str(index)]
    projection = str(photo.get("projection") or "").upper()
    sequence = photo.get("sequenceId", photo.get("sequence_id"))
    return ServiceRecord(
        tuple(name for name in names if name),
        values,
        projection != "PLANE",
        str(sequence) if sequence else None,
    )


def _point(geometry: Any) -> tuple[float, float] | None:
    """Returns longitude and latitude of a GeoJSON point."""
    try:
        longitude, latitude = geometry["coordinates"][:2]
        point = float(longitude), float(latitude)
    except (TypeError, ValueError, KeyError):
        return None
    return point if np.isfinite(point).all() else None


def _finite(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _angle(value: Any) -> float | None:
    """Returns an angle; services write -1 where they know none."""
    angle = _finite(value)
    return None if angle is None or angle < 0 else angle


def _of_millis(image: dict[str, Any]) -> int | str | None:
    time = image.get("captured_at")
    return round(time * 1_000_000) if isinstance(time, int | float) and np.isfinite(time) else time


def _of_underscores(time: Any) -> str | None:
    """Returns ISO 8601 of mapillary_tools' YYYY_MM_DD_hh_mm_ss_mmm."""
    parts = str(time).split("_")
    return "{}-{}-{}T{}:{}:{}.{}".format(*parts) if len(parts) == 7 else None


def _stem(path: Any) -> str:
    return PurePosixPath(str(path).replace("\\", "/")).stem
