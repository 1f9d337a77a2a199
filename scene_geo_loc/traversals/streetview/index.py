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

"""Index of a set of panoramas: `panoramas.csv` or `panoramas.geojson`; see docs/datasets/streetview.md."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.core.errors import TraversalError, reason_of
from scene_geo_loc.traversals.skipped import Skipped, SkipReason
from scene_geo_loc.traversals.streetview.image_file import images_below
from scene_geo_loc.traversals.text import read_text

CSV_NAME, GEOJSON_NAME = "panoramas.csv", "panoramas.geojson"

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LAST_NS = 2**63 - 2**60
"""Later times are refused: stamps after them would not fit 64 bits."""


@dataclass(frozen=True)
class IndexRow:
    """A panorama of the index: its files and geo-tag.

    Attributes:
        file: path of the image relative to the folder, with `/`.
        latitude, longitude: degrees, WGS-84, as the index has them: possibly swapped.
        altitude: of the camera above the ellipsoid in metres; None where unknown.
        heading: of the centre column in degrees clockwise from true north; None where unknown.
        pitch: degrees by which the centre looks up.
        roll: degrees by which the right side is down.
        time: nanoseconds since 1970 UTC; None where unknown.
        links: files of neighbours along the street.
        depth: path of the depth map relative to the folder; None where there is none.
        position_std, heading_std: standard deviations of the position in metres and the heading in degrees;
            None where unknown.
    """

    file: str
    latitude: float
    longitude: float
    altitude: float | None = None
    heading: float | None = None
    pitch: float = 0.0
    roll: float = 0.0
    time: int | None = None
    links: tuple[str, ...] = ()
    depth: str | None = None
    position_std: float | None = None
    heading_std: float | None = None


COLUMNS = tuple(column.name for column in fields(IndexRow))


@dataclass
class PanoramaIndex:
    """Rows of an index.

    Attributes:
        path: the file.
        rows: usable rows in the file's order.
        skipped: counts of the others.
    """

    path: Path
    rows: list[IndexRow]
    skipped: Skipped = field(default_factory=Skipped)


def index_file(folder: Path) -> Path | None:
    """Returns the index of a folder; None where it has none."""
    return next((folder / name for name in (CSV_NAME, GEOJSON_NAME) if (folder / name).is_file()), None)


def read_index(folder: Path) -> PanoramaIndex:
    """Reads the index of a folder; damaged rows, and images without a row, are counted.

    Raises TraversalError where there is no index, or it cannot be read or lacks a column.
    """
    path = index_file(folder)
    if path is None:
        raise TraversalError(f"{folder}: there is no index {CSV_NAME} or {GEOJSON_NAME}.")
    index = read_index_file(path)
    listed = {name for row in index.rows for name in (row.file, row.depth)}
    unlisted = sum(name not in listed for name in images_below(folder))
    if unlisted:
        index.skipped.add(SkipReason.PANORAMA_WITHOUT_ROW, unlisted)
    return index


def read_index_file(path: Path) -> PanoramaIndex:
    """Reads an index of any name, by its suffix as CSV or GeoJSON; damaged rows are counted.

    Raises TraversalError where it cannot be read or lacks a column.
    """
    text = read_text(path, "index of the panoramas")
    index = PanoramaIndex(path, [])
    for values in _csv_rows(path, text) if path.suffix == ".csv" else _features(path, text):
        if not has_usable_time(values):
            index.skipped.add(SkipReason.ROW_TIME_UNREADABLE, subject=path.name)
            values = {**values, "time": None}
        try:
            index.rows.append(row_of(values))
        except (ValueError, TypeError, KeyError, OverflowError):
            index.skipped.add(SkipReason.ROW_DAMAGED, subject=path.name)
    return index


def has_usable_time(values: Mapping[str, Any]) -> bool:
    """Returns whether a row's time can be read, or it has none."""
    try:
        return values.get("time") in (None, "") or nanoseconds_of(values["time"]) >= 0
    except (ValueError, TypeError, OverflowError):
        return False


def row_of(values: Mapping[str, Any]) -> IndexRow:
    """Returns the row of columns by name; empty is unknown. Raises ValueError, TypeError or KeyError."""
    given = {name: value for name, value in values.items() if value is not None and value != ""}
    optional: dict[str, Any] = {
        name: _number(given[name])
        for name in ("altitude", "heading", "pitch", "roll", "position_std", "heading_std")
        if name in given
    }
    if min(optional.get("position_std", 0.0), optional.get("heading_std", 0.0)) < 0:
        raise ValueError("a negative standard deviation")
    if "time" in given:
        optional["time"] = nanoseconds_of(given["time"])
    if "depth" in given:
        optional["depth"] = str(given["depth"]).strip()
    if "links" in given:
        links = given["links"]
        names = links.split(";") if isinstance(links, str) else list(links)
        optional["links"] = tuple(str(name).strip() for name in names if str(name).strip())
    file = str(given["file"]).strip()
    if any("\0" in name for name in (file, optional.get("depth", ""))):
        raise ValueError("a zero byte in a name")
    latitude, longitude = degrees_of(given["latitude"]), degrees_of(given["longitude"])
    if max(abs(latitude), abs(longitude)) > 360:
        raise ValueError(f"no position: {latitude}, {longitude}")
    return IndexRow(file, latitude, longitude, **optional)


def write_index(path: Path, rows: Iterable[IndexRow]) -> None:
    """Writes an index as CSV or, where its name ends in .geojson, as GeoJSON; numbers keep all their digits.

    Raises SceneGeoLocError where it cannot be written.
    """
    text = _geojson(rows) if path.suffix == ".geojson" else _csv(rows)
    write_aside(path, text.encode())


def nanoseconds_of(time: Any) -> int:
    """Returns nanoseconds since 1970 of a time in nanoseconds or in ISO 8601, by default in UTC.

    A month, as street-view services state it, is its first day.

    Raises ValueError or TypeError where it is no time between 1970 and 2225.
    """
    text = str(time).strip()
    if text.isdecimal():
        nanoseconds = int(text)
    else:
        # Python 3.10 knows neither Z nor other numbers of decimals.
        text = re.sub(r"[Zz]$", "+00:00", text)
        text = re.sub(r"\.(\d+)", lambda decimals: f".{decimals[1]:0<6.6}", text)
        moment = datetime.fromisoformat(f"{text}-01" if re.fullmatch(r"\d{4}-\d{2}", text) else text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=timezone.utc)
        nanoseconds = (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    if not 0 <= nanoseconds <= _LAST_NS:
        raise ValueError(f"a time out of range: {text}")
    return nanoseconds


def degrees_of(value: Any) -> float:
    """Returns degrees of a number, or of a text in degrees, minutes and seconds with N, S, E or W.

    Raises ValueError or TypeError where it is neither.
    """
    try:
        return _number(value)
    except ValueError:
        text = str(value).strip().upper().replace(",", ".")
    parts = [float(part) for part in re.findall(r"\d+(?:\.\d+)?", text)]
    shape = re.sub(r"\d+(?:\.\d+)?", "0", re.sub(r"[\s°º'′’\"″”]|DEG|D", "", text))
    if not re.fullmatch(r"[-+]?[NSEW]?0+[NSEW]?", shape) or len(parts) > 3 or any(m >= 60 for m in parts[1:]):
        raise ValueError(f"no angle: {value}")
    size = sum(part / 60**place for place, part in enumerate(parts))
    return -size if shape.startswith("-") or "S" in shape or "W" in shape else size


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError("a truth value is no number")
    decimal_comma = isinstance(value, str) and value.count(",") == 1 and "." not in value
    number = float(value.replace(",", ".") if decimal_comma else value)
    if not math.isfinite(number):
        raise ValueError(f"not a finite number: {value}")
    return number


def _csv_rows(path: Path, text: str) -> Iterator[Mapping[str, Any]]:
    reader = csv.reader(io.StringIO(text), delimiter=_delimiter(text))
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        for needed in ("file", "latitude", "longitude"):
            if needed not in header:
                raise TraversalError(
                    f"{path}: the index has no column {needed!r}; its first line should name the columns "
                    f"{', '.join(COLUMNS)}."
                )
        for words in reader:
            if any(word.strip() for word in words):
                yield dict(zip(header, (word.strip() for word in words), strict=False))
    except csv.Error as error:
        raise TraversalError(f"{path}: the index cannot be read ({reason_of(error)}).") from error


def _delimiter(text: str) -> str:
    """Returns what separates the columns: spreadsheets write semicolons where the comma is decimal."""
    first = text.split("\n", 1)[0]
    return max(",;\t", key=first.count)


def _features(path: Path, text: str) -> Iterator[Mapping[str, Any]]:
    try:
        features = json.loads(text)["features"]
        if not isinstance(features, list):
            raise TypeError("`features` is no list")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise TraversalError(
            f"{path}: the index is no GeoJSON FeatureCollection ({reason_of(error)})."
        ) from error
    for feature in features:
        yield _values_of(feature)


def _values_of(feature: Any) -> dict[str, Any]:
    """Returns the columns of a GeoJSON feature; empty, thus damaged, where it is no point."""
    try:
        longitude, latitude, *altitude = feature["geometry"]["coordinates"]
        values = dict(feature["properties"])
    except (ValueError, TypeError, KeyError):
        return {}
    values.update(longitude=longitude, latitude=latitude)
    if altitude:
        values.setdefault("altitude", altitude[0])
    return values


def _csv(rows: Iterable[IndexRow]) -> str:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_cell(getattr(row, name)) for name in COLUMNS])
    return lines.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return ";".join(value) if isinstance(value, tuple) else str(value)


def _geojson(rows: Iterable[IndexRow]) -> str:
    features = []
    for row in rows:
        properties = {name: getattr(row, name) for name in COLUMNS if getattr(row, name) not in (None, ())}
        point = [properties.pop("longitude"), properties.pop("latitude")]
        if "altitude" in properties:
            point.append(properties.pop("altitude"))
        features.append(
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": point},
                "properties": properties,
            }
        )
    return (
        json.dumps({"type": "FeatureCollection", "features": features}, indent=1, ensure_ascii=False) + "\n"
    )
