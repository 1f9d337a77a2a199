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

"""EXIF: position, direction and time of an image.

Source: CIPA DC-008, Exchangeable image file format; the tags are in directories of TIFF 6.0.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scene_geo_loc.traversals.streetview.index import nanoseconds_of

_GPS_DIRECTORY, _EXIF_DIRECTORY = 0x8825, 0x8769
_LATITUDE_REF, _LATITUDE, _LONGITUDE_REF, _LONGITUDE, _ALTITUDE_REF, _ALTITUDE = range(1, 7)
_GPS_TIME, _DIRECTION_REF, _DIRECTION, _GPS_DATE = 7, 16, 17, 29
_TIME_ORIGINAL = 0x9003

_FORMATS = {1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 7: "B", 9: "i", 10: "ii"}
"""Types of TIFF by `struct`'s letters; rationals are two numbers."""

_MOST = 1024
"""Most entries of a directory, and values of an entry, that are read."""


@dataclass(frozen=True)
class ExifTag:
    """Geo-tag of an image.

    Attributes:
        latitude, longitude: degrees.
        altitude: metres above sea level; None where unknown.
        heading: degrees from true north; None where unknown, or from magnetic north.
        time: nanoseconds since 1970 UTC; of the camera's clock where the receiver gave none.
    """

    latitude: float
    longitude: float
    altitude: float | None = None
    heading: float | None = None
    time: int | None = None


def exif_tag(exif: bytes | None) -> ExifTag | None:
    """Returns the geo-tag in EXIF; None where there is no position, or it cannot be read."""
    if exif is None or exif[:4] not in (b"II*\0", b"MM\0*"):
        return None
    order = "<" if exif.startswith(b"II") else ">"
    main = _directory(exif, order, _unsigned(exif, order, 4))
    gps = _directory(exif, order, _pointer(main, _GPS_DIRECTORY))
    latitude = _degrees(gps.get(_LATITUDE), gps.get(_LATITUDE_REF), "S")
    longitude = _degrees(gps.get(_LONGITUDE), gps.get(_LONGITUDE_REF), "W")
    if latitude is None or longitude is None:
        return None
    altitude = _first(gps.get(_ALTITUDE))
    if altitude is not None and _first(gps.get(_ALTITUDE_REF)) == 1:
        altitude = -altitude
    is_true = gps.get(_DIRECTION_REF, "T") == "T"
    heading = _first(gps.get(_DIRECTION)) if is_true else None
    camera = _directory(exif, order, _pointer(main, _EXIF_DIRECTORY))
    return ExifTag(latitude, longitude, altitude, heading, _time(gps, camera))


def _unsigned(exif: bytes, order: str, offset: int) -> int:
    try:
        return int(struct.unpack_from(f"{order}I", exif, offset)[0])
    except struct.error:
        return 0


def _pointer(directory: dict[int, Any], tag: int) -> int:
    value = _first(directory.get(tag))
    return int(value) if value is not None else 0


def _first(value: Any) -> float | None:
    return value[0] if isinstance(value, tuple) and value else None


def _directory(exif: bytes, order: str, offset: int) -> dict[int, Any]:
    """Returns texts and tuples of numbers by tag; empty where the directory is missing or damaged."""
    found: dict[int, Any] = {}
    if not offset:
        return found
    try:
        (count,) = struct.unpack_from(f"{order}H", exif, offset)
        for entry in range(min(count, _MOST)):
            at = offset + 2 + 12 * entry
            tag, kind, length = struct.unpack_from(f"{order}HHI", exif, at)
            if kind not in _FORMATS or length > _MOST:
                continue
            letters = f"{order}{length}s" if kind == 2 else order + _FORMATS[kind] * length
            start = at + 8
            if struct.calcsize(letters) > 4:
                start = _unsigned(exif, order, at + 8)
            values = struct.unpack_from(letters, exif, start)
            if kind == 2:
                found[tag] = values[0].split(b"\0")[0].decode("ascii", "replace").strip()
            elif kind in (5, 10):
                pairs = zip(values[::2], values[1::2], strict=True)
                found[tag] = tuple(above / below if below else math.nan for above, below in pairs)
            else:
                found[tag] = values
    except struct.error:  # the rest is cut off
        pass
    return found


def _degrees(value: Any, reference: Any, negative: str) -> float | None:
    if not isinstance(value, tuple) or len(value) != 3:
        return None
    degrees = value[0] + value[1] / 60 + value[2] / 3600
    if not math.isfinite(degrees):
        return None
    return -degrees if reference == negative else degrees


def _time(gps: dict[int, Any], camera: dict[int, Any]) -> int | None:
    try:
        if isinstance(gps.get(_GPS_DATE), str) and isinstance(gps.get(_GPS_TIME), tuple):
            hours, minutes, seconds = gps[_GPS_TIME]
            day = datetime.strptime(gps[_GPS_DATE], "%Y:%m:%d")
            midnight = nanoseconds_of(day.isoformat())
            return midnight + round((hours * 3600 + minutes * 60 + seconds) * 1e9)
        if isinstance(camera.get(_TIME_ORIGINAL), str):
            return nanoseconds_of(datetime.strptime(camera[_TIME_ORIGINAL], "%Y:%m:%d %H:%M:%S").isoformat())
    except (ValueError, TypeError, OverflowError):
        pass
    return None
