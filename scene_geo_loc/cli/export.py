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

"""`scene-geo-loc export`: exports a network for other runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def export(
    network: Annotated[
        Path, typer.Argument(metavar="NETWORK", help="Checkpoint of a network, for example a map's.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="ONNX file to write.")],
) -> None:
    """Write a network as ONNX, for TensorRT or another runtime.

    The input `image` is one RGB image (1, height, width, 3) in float32 from 0 to 255; the command prints its
    size. The outputs are `local_features` (1, rows, columns, channels), `global_descriptor` (1, length)
    and, if the network infers depth, `depth` (1, height, width) in metres. A network that is not fitted
    outputs the feature maps that it would be fitted on instead of a descriptor. All shapes are fixed.

    Example:  scene-geo-loc export street_map/network.safetensors street.onnx
    """
    from scene_geo_loc.core.atomic import written_aside
    from scene_geo_loc.networks.architecture.checkpoint import load_checkpoint
    from scene_geo_loc.networks.architecture.export import export_onnx

    loaded, _ = load_checkpoint(network)
    with written_aside(out) as aside:
        outputs = export_onnx(loaded, aside)
    size = f"{loaded.config.input_width}x{loaded.config.input_height}"
    typer.echo(f"{out}: input {size}, outputs {', '.join(outputs)}.")
