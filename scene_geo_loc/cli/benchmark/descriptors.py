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

"""`scene-geo-loc benchmark descriptors`: recall of global descriptors in the ICRA paper's scenarios."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import JsonFile


def descriptors(
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="Folder of RobotCar runs, real or simulated.")],
    runs: Annotated[
        list[Path] | None,
        typer.Option(help="Run folder of `train descriptor`, or a folder of run folders. May be repeated."),
    ] = None,
    network: Annotated[
        list[Path] | None, typer.Option(help="Further checkpoint to score. May be repeated.")
    ] = None,
    whiten: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help="Also score trained descriptors PCA-whitened to this size. May be repeated."
        ),
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder to keep images and scores in, so that the next call describes only what is new."
        ),
    ] = None,
    json: JsonFile = None,
    report: Annotated[Path | None, typer.Option(help="Folder to write an HTML page with curves to.")] = None,
    write: Annotated[
        Path | None,
        typer.Option(
            help="Markdown file to write the results to; pictures go to the folder `images` beside it."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="Where networks run: auto, cpu, cuda, ...")] = "auto",
) -> None:
    """Measure recall of global descriptors in the ICRA paper's four scenarios.

    References are images of the overcast run; queries are of the runs sunny, long-term, snow and night. A
    scenario without its run is left out. Runs of one system and protocol that differ only in their seed
    make one row. The numbers printed in the paper follow below.

    Example:  scene-geo-loc benchmark descriptors robotcar --runs runs --cache cache --report recall_report
    """
    from dataclasses import replace

    from scene_geo_loc.benchmarks.descriptors.benchmark import benchmark_descriptors
    from scene_geo_loc.benchmarks.descriptors.comparisons import to_record
    from scene_geo_loc.benchmarks.descriptors.systems import runs_of_the_package
    from scene_geo_loc.benchmarks.descriptors.trained_runs import checkpoint_run, find_runs
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.cli.results.descriptors import print_descriptor_benchmark
    from scene_geo_loc.core.atomic import write_json

    sizes = sorted(set(whiten or ()))
    found = find_runs(runs or (), device, sizes)
    checkpoints = [checkpoint_run(path, device, sizes) for path in network or ()]
    all_runs = [*runs_of_the_package(device), *checkpoints, *found.runs]
    done = benchmark_descriptors(root, all_runs, cache, found.protocols, progress)
    done = replace(done, left_out=[*done.left_out, *found.left_out], begun_with=found.begun_with)
    print_descriptor_benchmark(done)
    if json is not None:
        write_json(json, to_record(done))
    if report is not None:
        from scene_geo_loc.benchmarks.descriptors.report import write_descriptor_report

        typer.echo(f"The report is {write_descriptor_report(report, done)}.")
    if write is not None:
        from scene_geo_loc.benchmarks.descriptors.page import write_results

        written = write_results(write, done)
        typer.echo(f"The results are {written[0]}, with {len(written) - 1} pictures in {written[1].parent}.")
