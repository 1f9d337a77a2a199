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

"""`scene-geo-loc benchmark pairs`: scores descriptors on labelled pairs of images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.common import JsonFile


def pairs(
    pairs_file: Annotated[
        Path,
        typer.Argument(
            metavar="PAIRS",
            help="CSV file with the columns query, database and a label: 1 for a match, else 0.",
        ),
    ],
    described: Annotated[
        Path, typer.Argument(metavar="DESCRIPTORS", help="Descriptors of both, written by `describe` (.npz).")
    ],
    json: JsonFile = None,
) -> None:
    """Score descriptors on labelled pairs of images: average precision and best matches.

    PAIRS names images as DESCRIPTORS does: relative to the folder that was described. Example:

        scene-geo-loc describe snow --out snow.npz

        scene-geo-loc benchmark pairs snow/pairs.csv snow.npz
    """
    from scene_geo_loc.benchmarks.descriptors.labelled_pairs import LabelledPairs, score_pairs
    from scene_geo_loc.core.atomic import write_json
    from scene_geo_loc.networks.runtime.image_descriptors import Descriptors

    scores = score_pairs(LabelledPairs.load(pairs_file), Descriptors.load(described))
    typer.echo(
        f"Average precision {100 * scores.average_precision:.1f} % over {scores.pairs} pairs, "
        f"{scores.matches} of them matches.\n"
        f"The most similar labelled image is a match for {scores.best_is_match} of {scores.queries} queries."
    )
    if scores.left_out:
        typer.echo(f"Left out: {scores.left_out} pairs with an image that has no descriptor.")
    if json is not None:
        write_json(json, scores.to_dict())
