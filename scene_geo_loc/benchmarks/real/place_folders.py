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

"""Readers of sets of places in their published layouts."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from scene_geo_loc.benchmarks.real.place_sets import Places, PlaceSet
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.runtime.image_descriptors import IMAGE_SUFFIXES

RADIUS_M = 25.0
"""Distance within which a database image is right, where images have positions."""
GARDENS_POINT_FRAMES = 2
NORDLAND_FRAMES = 1

_GARDENS_POINT_RUNS = ("day_left", "day_right", "night_right")
_SEASONS = ("summer", "spring", "fall", "winter")
_DATABASES = ("database", "gallery")
_SPLITS = ("images/test", "images/val", "test", "val", "")
_CITIES = ("cph", "sf")


def is_gardens_point(folder: Path) -> bool:
    """Returns whether a folder has the night run of Gardens Point Walking and one by day."""
    return (folder / "night_right").is_dir() and any(
        (folder / run).is_dir() for run in _GARDENS_POINT_RUNS[:2]
    )


def open_gardens_point(folder: Path) -> PlaceSet:
    """Opens Gardens Point Walking: folders day_left, day_right, night_right of frames with equal numbers.

    Raises SceneGeoLocError where the runs have different numbers of frames.
    """
    pairs = [
        ("night right in day right", "day_right", "night_right"),
        ("night right in day left", "day_left", "night_right"),
        ("day right in day left", "day_left", "day_right"),
    ]
    return PlaceSet(
        folder,
        [
            Places.by_number(
                name, folder, _images(folder, database), _images(folder, queries), GARDENS_POINT_FRAMES
            )
            for name, database, queries in pairs
            if (folder / database).is_dir() and (folder / queries).is_dir()
        ],
    )


def is_nordland(folder: Path) -> bool:
    """Returns whether a folder has Nordland's seasons, or is named after it and has two runs of frames."""
    return len(_nordland_runs(folder)) > 1


def open_nordland(folder: Path) -> PlaceSet:
    """Opens Nordland: aligned frames of two or more seasons, or of queries and database.

    The partition, such as that of 27592 frames, is what the folders contain.  Raises SceneGeoLocError where
    the runs have different numbers of frames.
    """
    (database_name, database), *others = _nordland_runs(folder)
    return PlaceSet(
        folder,
        [
            Places.by_number(
                f"{name} in {database_name}",
                folder,
                _images(folder, database),
                _images(folder, run),
                NORDLAND_FRAMES,
            )
            for name, run in others
        ],
    )


def _nordland_runs(folder: Path) -> list[tuple[str, str]]:
    """Returns names and folders of the runs, the database first."""
    seasons = [(season, season) for season in _SEASONS if (folder / season).is_dir()]
    if len(seasons) > 1 or "nordland" not in folder.name.lower():
        return seasons
    for database, queries in (("ref", "query"), ("images/test/database", "images/test/queries")):
        if (folder / database).is_dir() and (folder / queries).is_dir():
            return [("database", database), ("queries", queries)]
    return []


def is_utm_named(*words: str) -> Callable[[Path], bool]:
    """Returns a function of whether a folder has images named by UTM, and one of the words in its name.

    Without words, any name is taken.
    """

    def recognise(folder: Path) -> bool:
        named = not words or any(word in folder.name.lower() for word in words)
        return named and _utm_split(folder) is not None

    return recognise


def open_utm_named(folder: Path) -> PlaceSet:
    """Opens `images/test/database` (or `gallery`) and `images/test/queries*`, or those of `val`.

    Images are named `@ UTM east @ UTM north @ ...`.  Raises SceneGeoLocError where a name has no position.
    """
    split = _utm_split(folder)
    assert split is not None
    database_folder = next(split / name for name in _DATABASES if (split / name).is_dir())
    database = list(_utm_positions(split, database_folder))
    parts = []
    for queries in _query_folders(split):
        name = queries.name.removeprefix("queries").strip("_") or "queries"
        parts.append(
            Places.by_distance(name, split, database, list(_utm_positions(split, queries)), RADIUS_M)
        )
    return PlaceSet(folder, parts)


def _utm_split(folder: Path) -> Path | None:
    for name in _SPLITS:
        split = folder / name
        if any((split / database).is_dir() for database in _DATABASES) and _query_folders(split):
            images = (path for queries in _query_folders(split) for path in queries.iterdir())
            first = next(images, None)
            if first is not None and first.name.startswith("@"):
                return split
    return None


def _query_folders(split: Path) -> list[Path]:
    return sorted(path for path in split.glob("queries*") if path.is_dir())


def _utm_positions(split: Path, folder: Path) -> Iterator[tuple[str, float, float]]:
    for name in _images(split, folder.relative_to(split).as_posix()):
        try:
            east, north = (float(word) for word in Path(name).name.split("@")[1:3])
        except ValueError as error:
            raise SceneGeoLocError(
                f"{split / name}: expected a name that begins with @ UTM east @ UTM north @."
            ) from error
        yield name, east, north


def is_msls(folder: Path) -> bool:
    """Returns whether a folder has the validation cities of MSLS in their own layout."""
    return any(_msls_tables(folder / "train_val" / city / "query")[0].is_file() for city in _CITIES)


def open_msls(folder: Path) -> PlaceSet:
    """Opens the validation cities of Mapillary Street-Level Sequences, Copenhagen and San Francisco.

    As in its own code, panoramas are left out, and so are queries without a right image.
    Raises SceneGeoLocError where a table cannot be read.
    """
    root = folder / "train_val"
    cities = [city for city in _CITIES if (root / city).is_dir()]
    # UTM of the two cities, in different zones, are 1900 km apart all the same.
    database, queries = (
        [row for city in cities for row in _msls_positions(root, f"{city}/{side}")]
        for side in ("database", "query")
    )
    places = Places.by_distance(" and ".join(cities), root, database, queries, RADIUS_M)
    kept = [i for i, right in enumerate(places.right) if len(right)]
    return PlaceSet(
        folder,
        [
            replace(
                places,
                queries=[places.queries[i] for i in kept],
                right=[places.right[i] for i in kept],
            )
        ],
    )


def _msls_tables(folder: Path) -> tuple[Path, Path]:
    return folder / "postprocessed.csv", folder / "raw.csv"


def _msls_positions(root: Path, side: str) -> list[tuple[str, float, float]]:
    processed, raw = _msls_tables(root / side)
    panoramas = {row["key"] for row in _table(raw) if row.get("pano", "").lower() == "true"}
    found = []
    for number, row in enumerate(_table(processed), start=2):
        try:
            if row["key"] not in panoramas:
                found.append(
                    (f"{side}/images/{row['key']}.jpg", float(row["easting"]), float(row["northing"]))
                )
        except (KeyError, ValueError) as error:
            raise SceneGeoLocError(
                f"{processed}, line {number}: expected the columns key, easting and northing."
            ) from error
    return found


def _table(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SceneGeoLocError(f"{path} cannot be read as a CSV file: {error}.") from error


def _images(folder: Path, sub_folder: str) -> list[str]:
    """Returns the images in a sub-folder, sorted, relative to the folder. Raises SceneGeoLocError if none."""
    here = folder / sub_folder
    names = sorted(path.name for path in here.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    if not names:
        raise SceneGeoLocError(f"{here} has no images; the set is incomplete.")
    return [f"{sub_folder}/{name}" for name in names]
