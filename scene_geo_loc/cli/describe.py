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

"""`scene-geo-loc describe`: global descriptors of a folder of images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from scene_geo_loc.networks.runtime.extractor import Extractor


def describe(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of images, with any sub-folders.")],
    out: Annotated[Path, typer.Option(help="File to write, a NumPy archive (.npz).")],
    fit: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Fit the network on these images instead of those in FOLDER."),
    ] = None,
    network: Annotated[
        Path | None,
        typer.Option(help="Checkpoint of a network, for example a map's. Default: the package's."),
    ] = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option(help="Vocabulary of visual words (.safetensors) that describes instead of a network."),
    ] = None,
    save_network: Annotated[Path | None, typer.Option(help="File to write the fitted network to.")] = None,
    device: Annotated[str, typer.Option(help="Where the network runs: auto, cpu, cuda, ...")] = "auto",
) -> None:
    """Write the global descriptor of every image in a folder, for retrieval by cosine similarity.

    A network that is not fitted yet is fitted on these images first.

    The archive holds `names` (relative to FOLDER, sorted), `descriptors` (one unit vector per row), the
    digest of the `network` and its `input_size`. Read it with np.load(FILE, allow_pickle=False).

    Descriptors can be compared only if they are from the same network:

        scene-geo-loc describe database --out database.npz --save-network fitted.safetensors

        scene-geo-loc describe queries --out queries.npz --network fitted.safetensors
    """
    from scene_geo_loc.cli.options.progress import track
    from scene_geo_loc.core.atomic import written_aside
    from scene_geo_loc.core.errors import CheckpointError
    from scene_geo_loc.networks.checkpoint import save_network as write_network
    from scene_geo_loc.networks.runtime.image_descriptors import (
        describe_folder,
        describe_folder_by,
        image_names,
        read_images,
    )
    from scene_geo_loc.traversals.skipped import Skipped
    from scene_geo_loc.visual_words.image_descriptor import VisualWords
    from scene_geo_loc.visual_words.vocabulary import Vocabulary

    names, skipped = image_names(folder), Skipped()
    if vocabulary is not None:
        if network is not None or fit is not None or save_network is not None:
            raise CheckpointError(
                "A vocabulary describes images without a network: omit --network, --fit and --save-network."
            )
        words = Vocabulary.read(vocabulary)
        images = read_images(folder, track(names, len(names), "describing", "images"), skipped)
        described = describe_folder_by(VisualWords(words), words.digest, images, skipped)
    else:
        extractor, provenance = _ready(network, folder, fit, device)
        images = read_images(folder, track(names, len(names), "describing", "images"), skipped)
        described = describe_folder(extractor, images)
    described.save(out)
    if save_network is not None:
        with written_aside(save_network) as aside:
            write_network(extractor.network, aside, provenance)
    count, size = described.descriptors.shape
    typer.echo(f"{out}: {count} descriptors of size {size}.")
    if skipped:
        typer.echo(f"Skipped: {skipped}.")


def _ready(
    path: Path | None, folder: Path, fit: Path | None, device: str
) -> tuple[Extractor, dict[str, Any]]:
    """Returns the network of a checkpoint or of the package, fitted if it was not, and its provenance.

    Raises CheckpointError if the network is fitted already and images to fit it on are given.
    """
    from scene_geo_loc.cli.options.progress import track
    from scene_geo_loc.core.errors import CheckpointError
    from scene_geo_loc.networks.checkpoint import load_network
    from scene_geo_loc.networks.default import default_network
    from scene_geo_loc.networks.runtime.extractor import FIT_IMAGES, evenly_spread
    from scene_geo_loc.networks.runtime.image_descriptors import fit_extractor, image_names, read_images
    from scene_geo_loc.traversals.skipped import Skipped

    network, provenance = load_network(path) if path else default_network()
    network = network.without_depth()
    if network.is_fitted and fit is not None:
        raise CheckpointError(f"{path or 'The network of the package'} is fitted already: omit --fit.")
    source = fit or folder
    names = image_names(source)
    taken: Iterable[str] = names
    if not network.is_fitted:
        chosen = [names[i] for i in evenly_spread(len(names), FIT_IMAGES)]
        taken = track(chosen, len(chosen), "fitting", "images")
        provenance = {**provenance, "fitted_on": source.name}
    images = (image for _, image in read_images(source, taken, Skipped()))
    network_for = network.with_input_for if path is None else lambda width, height: network
    return fit_extractor(images, network_for, device), provenance
