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

"""Results of the street-view benchmark as a page of Markdown, with its pictures beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.benchmarks.streetview import pictures, table
from scene_geo_loc.benchmarks.streetview.methods import METHODS, PACKAGE, WORDS
from scene_geo_loc.benchmarks.streetview.results import DriveResult, StreetviewResults
from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.metrics.published.slides_gis import SLIDES
from scene_geo_loc.plots.style import write_figure
from scene_geo_loc.reports.examples import Example
from scene_geo_loc.reports.report import template

_PREFIX = "streetview_"


def write_streetview_results(
    path: Path,
    results: StreetviewResults,
    keyframe_positions: NDArray[np.float64] | None = None,
    examples: Sequence[Example] = (),
) -> list[Path]:
    """Writes the page, and its pictures into the folder `images` beside it; returns all that was written.

    Args:
        keyframe_positions: (N, 3) metres, of the main method's map of the slides' set; None for no map.
        examples: the best and the worst match.

    Raises SceneGeoLocError where they cannot be written.
    """
    folder = path.parent / "images"
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    pairs = _pairs(results)
    if pairs:
        written.append(folder / f"{_PREFIX}errors.png")
        write_figure(written[-1], lambda: pictures.error_histogram(pairs))
    main = results.find(set=results.slides_set.name, method=PACKAGE, virtual_m=None)
    shown = main[0] if main and keyframe_positions is not None else None
    if shown is not None and keyframe_positions is not None:
        positions = keyframe_positions
        written.append(folder / f"{_PREFIX}map.png")
        write_figure(written[-1], lambda: pictures.street_map(shown, positions))
    matches = []
    for example in examples:
        file = folder / f"{_PREFIX}{example.kind}.jpg"
        write_aside(file, example.jpeg)
        written.append(file)
        matches.append((example, file.name))
    page = template("streetview_results.md.j2").render(
        results=results,
        command_path=path.name if path.parent == Path() else f"{path.parent.name}/{path.name}",
        slides=SLIDES,
        methods=[method for method in METHODS if results.find(method=method.key)],
        goals=table.goals(results),
        tables={
            "slides": table.slides_table(results),
            "spacing": table.spacing_table(results),
            "virtual": table.virtual_table(results),
            "tags": table.tag_table(results),
            "regression": table.regression_table(),
        },
        method_tables=table.method_tables(results),
        errors_picture=f"{_PREFIX}errors.png" if pairs else "",
        map_picture=f"{_PREFIX}map.png" if shown is not None else "",
        shown=shown,
        matches=matches,
    )
    write_aside(path, page.encode())
    return [path, *written]


def _pairs(results: StreetviewResults) -> list[tuple[str, DriveResult, DriveResult]]:
    """Returns the drives that were localized in the slides' set without and with virtual views."""
    pairs = []
    for key, title in ((WORDS, "BoVW + geometry"), (PACKAGE, "package's")):
        for one in results.slides_sets:
            for before in results.find(set=one.name, method=key, virtual_m=None):
                for after in results.find(set=one.name, method=key, drive=before.drive):
                    if after.virtual_m is not None:
                        pairs.append((f"{title}, {before.drive}", before, after))
    return pairs
