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

"""The results of pose benchmarks as a page of Markdown, with its pictures beside it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from scene_geo_loc.benchmarks.poses import comparisons as pose_comparisons
from scene_geo_loc.benchmarks.poses import table as pose_table
from scene_geo_loc.benchmarks.poses.localizers import table as localizer_table
from scene_geo_loc.benchmarks.poses.localizers.plot import cost_figure, has_study_of_images, images_figure
from scene_geo_loc.benchmarks.poses.plot import write_curves
from scene_geo_loc.benchmarks.poses.results import PoseBenchmark, QuerySetResult
from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.metrics.published.slides_learning import printed_tables
from scene_geo_loc.plots.style import write_figure
from scene_geo_loc.reports.report import template


def write_pose_results(path: Path, benchmark: PoseBenchmark) -> list[Path]:
    """Writes the page, and its pictures into the folder `images` beside it; returns all that was written.

    Raises SceneGeoLocError where they cannot be written.
    """
    folder = path.parent / "images"
    # Several pages of a folder keep pictures of their own.
    pictures = write_curves(folder, benchmark, f"{path.stem.removesuffix('_results')}_")
    compared = [
        _draw_localizers(curves, queries) for curves, queries in zip(pictures, benchmark.sets, strict=True)
    ]
    page = template("pose_results.md.j2").render(
        benchmark=benchmark,
        command_path=path.name if path.parent == Path() else f"{path.parent.name}/{path.name}",
        sections=[
            {
                "queries": queries,
                "headings": pose_table.headings(queries),
                "lines": pose_table.ablation(queries),
                "comparisons": pose_comparisons.comparisons_in_words(queries),
                "picture": picture.name,
                "localizer_headings": localizer_table.headings(queries.place),
                "localizer_lines": localizer_table.lines(queries.place, queries.localizers),
                "localizer_pictures": {title: file.name for title, file in drawn.items()},
            }
            for queries, picture, drawn in zip(benchmark.sets, pictures, compared, strict=True)
        ],
        has_localizers=any(queries.localizers for queries in benchmark.sets),
        localizer_note=localizer_table.NOTE,
        localizer_tables=printed_tables(),
        tables=pose_table.paper_comparisons(benchmark, all_tables=True),
        notes=pose_table.notes(benchmark),
        paper_note=pose_table.PAPER_NOTE,
        comparison_note=pose_comparisons.NOTE,
    )
    write_aside(path, page.encode())
    return [path, *pictures, *(file for drawn in compared for file in drawn.values())]


def _draw_localizers(curves: Path, queries: QuerySetResult) -> dict[str, Path]:
    """Draws the pictures of the localizers beside those of the curves; returns the files by their titles."""
    drawn: dict[str, Path] = {}
    if not queries.localizers:
        return drawn
    cost = curves.with_name(f"{curves.stem}_cost.png")
    write_figure(cost, partial(cost_figure, queries.localizers))
    drawn["Error against the size of the map and the time of a query"] = cost
    if has_study_of_images(queries.localizers):
        study = curves.with_name(f"{curves.stem}_images.png")
        write_figure(study, partial(images_figure, queries.localizers))
        drawn["Error against the number of images of the map"] = study
    return drawn
