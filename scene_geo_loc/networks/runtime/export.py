"""Export of a network as ONNX, for runtimes without a backend here, such as TensorRT."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path

import torch

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.runtime.backends import ForwardPass

IMAGE = "image"


def export_onnx(network: SceneNetwork, path: Path) -> tuple[str, ...]:
    """Writes a network as one ONNX file of fixed shapes, and returns the names of its outputs.

    The input `image` (1, H, W, 3) float32 is RGB in [0, 255] at the size of the network's input.  The outputs
    are those of `ForwardPass.outputs`, for one image.

    Raises SceneGeoLocError if the packages that write ONNX are not installed.
    """
    if find_spec("onnx") is None or find_spec("onnxscript") is None:
        raise SceneGeoLocError(
            "The packages that write ONNX are not installed: `pip install 'scene_geo_loc[training]'`."
        )
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of operators that are not used
    network = network.cpu().eval()
    config = network.config
    forward = ForwardPass(network).eval()
    pixels = torch.zeros(1, config.input_height, config.input_width, 3)
    with torch.no_grad():
        program = torch.onnx.export(
            forward,
            (pixels,),
            input_names=[IMAGE],
            output_names=forward.outputs,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.save(str(path), external_data=False)
    return forward.outputs
