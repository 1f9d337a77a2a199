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

"""The option of commands that localize to keep statistics of the map's keyframes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from scene_geo_loc.benchmarks.localization.run import OnAnswer
    from scene_geo_loc.localization.session import Answer
    from scene_geo_loc.mapping.reference_map import AnyMap
    from scene_geo_loc.traversals.frame import Frame

StatisticsFile = Annotated[
    Path | None,
    typer.Option(
        "--statistics",
        metavar="FILE",
        help="File to add statistics of the map's keyframes to, such as how often each helped; `map prune` "
        "and `map info` read it.",
    ),
]


@contextmanager
def with_statistics(
    file: Path | None, reference_map: AnyMap, on_answer: OnAnswer | None
) -> Iterator[OnAnswer | None]:
    """Yields what adds each answer to a file of statistics and then calls `on_answer`, if either is given.

    Raises SceneGeoLocError where the file cannot be used for the map, or cannot be written.
    """
    from scene_geo_loc.localization.statistics.recorder import StatisticsRecorder

    if file is None:
        yield on_answer
        return
    with StatisticsRecorder(file, reference_map) as recorder:
        if recorder.other_version:
            typer.echo(recorder.other_version)

        def add(frame: Frame, answer: Answer) -> None:
            recorder.add(frame.stamp_ns, answer)
            if on_answer is not None:
                on_answer(frame, answer)

        yield add
    typer.echo(f"The statistics are in {file}.")
