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

from pathlib import Path

from scene_geo_loc.benchmarks.poses import comparisons as pose_comparisons
from scene_geo_loc.benchmarks.poses import table as pose_table
from scene_geo_loc.benchmarks.poses.plot import write_curves
from scene_geo_loc.benchmarks.poses.results import PoseBenchmark
from scene_geo_loc.core.atomic import write_aside
from scene_geo_loc.reports.report import template


def write_pose_results(path: Path, benchmark: PoseBenchmark) -> list[Path]:
    """Writes the page, and its pictures into the folder `images` beside it; returns all that was written.

    Raises SceneGeoLocError where they cannot be written.
    """
    pictures = write_curves(path.parent / "images", benchmark, "pose_")
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
            }
            for queries, picture in zip(benchmark.sets, pictures, strict=True)
        ],
        tables=pose_table.paper_comparisons(benchmark, all_tables=True),
        notes=pose_table.notes(benchmark),
        paper_note=pose_table.PAPER_NOTE,
        comparison_note=pose_comparisons.NOTE,
    )
    write_aside(path, page.encode())
    return [path, *pictures]
