"""Writes a network as ONNX, for runtimes such as TensorRT that have no backend here."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from scene_geo_loc.errors import SceneGeoLocError
from scene_geo_loc.networks.backends import ForwardPass
from scene_geo_loc.networks.scene_network import SceneNetwork

IMAGE = "image"
OUTPUTS = ("local_features", "late", "global_descriptor")


class _Described(nn.Module):
    """The forward pass and the global descriptor of its late map."""

    def __init__(self, network: SceneNetwork) -> None:
        super().__init__()
        self.maps = ForwardPass(network)
        self.network = network

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.network.descriptor.has_second_encoder:
            features = self.network(self.network.normalise(pixels))
            return features.local_features.permute(0, 2, 3, 1), features.late, features.global_descriptor
        local_features, late = self.maps(pixels)
        return local_features, late, self.network.describe(late)


def export_onnx(network: SceneNetwork, path: Path) -> tuple[str, ...]:
    """Writes a network, wherever it lies, as one ONNX file of fixed shapes; returns its outputs' names.

    Its input `image` (1, H, W, 3) float32 is RGB in [0, 255] at the size of the network's input.  Its
    outputs are `local_features` (1, rows, columns, C) of unit length, `late` (1, C', rows', columns') and,
    where the network is fitted, `global_descriptor` (1, D) of unit length: what an Extractor gives.

    Raises SceneGeoLocError where the packages that write ONNX are not installed.
    """
    if find_spec("onnx") is None or find_spec("onnxscript") is None:
        raise SceneGeoLocError(
            "The packages that write ONNX are not installed: `pip install 'scene_geo_loc[onnx]'`."
        )
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of operators that are not in use
    network = network.cpu().eval()
    config = network.config
    module = _Described(network) if network.is_fitted else ForwardPass(network)
    outputs = OUTPUTS if network.is_fitted else OUTPUTS[:-1]
    pixels = torch.zeros(1, config.input_height, config.input_width, 3)
    with torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            (pixels,),
            input_names=[IMAGE],
            output_names=outputs,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.save(str(path), external_data=False)
    return outputs
