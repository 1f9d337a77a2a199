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

"""`scene-geo-loc train vocabulary`: fits a vocabulary of visual words that many maps can share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scene_geo_loc.cli.options.source import Source, takes_source
from scene_geo_loc.visual_words.sizes import POINT_WORDS, REGION_WORDS


@takes_source
def vocabulary(
    source: Source,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write (.safetensors).")],
    *,
    point_words: Annotated[int, typer.Option(min=1, help="Most words of SIFT points.")] = POINT_WORDS,
    region_words: Annotated[int, typer.Option(min=0, help="Most words of MSER regions.")] = REGION_WORDS,
    overwrite: Annotated[bool, typer.Option(help="Replace an existing file.")] = False,
) -> None:
    """Fit a vocabulary of visual words to images, which describes those of any map.

    A map takes it by `map build --descriptor OUT` and keeps a copy. Without a file, `--descriptor bovw` fits
    a vocabulary to the map's own images.

    Example:  scene-geo-loc train vocabulary panoramas words.safetensors
    """
    from scene_geo_loc.cli.options.progress import progress
    from scene_geo_loc.core.errors import CheckpointError
    from scene_geo_loc.mapping.settings import VOCABULARY_FILE, is_vocabulary_file
    from scene_geo_loc.visual_words.fitting import fit_vocabulary

    if not is_vocabulary_file(str(out)):
        raise CheckpointError(f"{out} should end in {VOCABULARY_FILE}: a map knows a vocabulary by that.")
    if out.exists() and not overwrite:
        raise CheckpointError(f"{out} exists already: remove it, name another, or give --overwrite.")
    with progress("reading", "frames") as on_progress:
        fitted = fit_vocabulary(source.open_cameras(), point_words, region_words, on_progress)
    fitted.save(out)
    typer.echo(f"{out}: {fitted} of {fitted.images} images.")
    if len(fitted.points) < point_words or len(fitted.regions) < region_words:
        typer.echo(f"The images show too few features for {point_words} and {region_words} words.")
