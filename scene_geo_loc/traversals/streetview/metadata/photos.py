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

"""Folders of panoramas without an index: geo-tags of Mapillary's or KartaView's JSON, or of the images."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from scene_geo_loc.traversals.skipped import SkipReason
from scene_geo_loc.traversals.streetview.image_file import images_below, read_header
from scene_geo_loc.traversals.streetview.index import IndexRow, PanoramaIndex, has_usable_time, row_of
from scene_geo_loc.traversals.streetview.metadata.exif import exif_tag
from scene_geo_loc.traversals.streetview.metadata.gpano import gpano_of
from scene_geo_loc.traversals.streetview.metadata.services import ServiceRecord, records_in

_MOST_BYTES = 256 * 2**20
"""Largest JSON file that is read."""

_START = 2**16
_NAMES = (b'"captured_at"', b'"compass_angle"', b'"MAPLatitude"', b'"sequence_index"', b'"sequenceIndex"')
"""Bytes at the beginning of a file that decide whether it is read, and what has to be among them."""

_FIRST = 8
"""Number of files in a folder that decide whether it has panoramas."""


def has_panoramas(folder: Path) -> bool:
    """Returns whether one of the first files in a folder is metadata of a service, or an image with GPano."""
    for path in islice(sorted(folder.glob("*.json")), _FIRST):
        if _mentions_images(path) and next(records_in(_content(path)), None) is not None:
            return True
    for name in islice(images_below(folder), _FIRST):
        header = read_header(folder / name)
        if header.exif is not None and gpano_of(header).projection == "equirectangular":
            return True
    return False


def _mentions_images(path: Path) -> bool:
    """Returns whether the beginning of a file has names that services give to images' metadata."""
    try:
        with path.open("rb") as file:
            start = file.read(_START)
    except OSError:
        return False
    return any(name in start for name in _NAMES)


def read_photos(folder: Path) -> PanoramaIndex:
    """Returns rows for the images below a folder that have a geo-tag; the others are counted."""
    index = PanoramaIndex(folder, [])
    records = _records(folder)
    sequences: dict[str, list[int]] = defaultdict(list)
    for name in images_below(folder):
        record = records.get(PurePosixPath(name).stem)
        if record is not None and not record.is_panorama:
            index.skipped.add(SkipReason.PANORAMA_NOT_SPHERICAL)
            continue
        row = _row(folder, name, record)
        if row is None:
            index.skipped.add(SkipReason.PANORAMA_WITHOUT_POSITION)
            continue
        if record is not None and record.sequence is not None and row.time is not None:
            sequences[record.sequence].append(len(index.rows))
        index.rows.append(row)
    for numbers in sequences.values():
        _link(index.rows, numbers)
    return index


def _row(folder: Path, name: str, record: ServiceRecord | None) -> IndexRow | None:
    """Returns the row of an image by its record, else by its tags; None where there is no position."""
    if record is not None and record.has_position:
        time = record.values.get("time") if has_usable_time(record.values) else None
        return row_of({**record.values, "file": name, "time": time})
    header = read_header(folder / name)
    exif = exif_tag(header.exif)
    if exif is None:
        return None
    tags = gpano_of(header)
    heading = exif.heading if tags.heading is None else tags.heading
    pitch, roll = tags.pitch or 0.0, tags.roll or 0.0
    return IndexRow(name, exif.latitude, exif.longitude, exif.altitude, heading, pitch, roll, exif.time)


def _link(rows: list[IndexRow], numbers: list[int]) -> None:
    """Links the rows of a sequence to the ones before and after them in time."""
    numbers = sorted(numbers, key=lambda number: rows[number].time or 0)
    for place, number in enumerate(numbers):
        beside = numbers[max(place - 1, 0) : place] + numbers[place + 1 : place + 2]
        rows[number] = replace(rows[number], links=tuple(rows[other].file for other in beside))


def _records(folder: Path) -> Mapping[str, ServiceRecord]:
    """Returns the records of the JSON files in a folder by the names that their images may have."""
    found: dict[str, ServiceRecord] = {}
    for path in sorted(folder.rglob("*.json")):
        records = list(records_in(_content(path)))
        for record in records:
            names = (*record.names, path.stem) if len(records) == 1 else record.names
            for name in names:
                found.setdefault(name, record)
    return found


def _content(path: Path) -> Any:
    """Returns the content of a JSON file; None where it cannot be read."""
    try:
        if not path.is_file() or path.stat().st_size > _MOST_BYTES:
            return None
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
