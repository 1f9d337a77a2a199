"""ONNX graphs of modules."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scene_geo_loc.networks.forward_pass import IMAGE, OPSET


def onnx_graph(module: nn.Module, pixels: Tensor, outputs: Sequence[str], is_fixed: bool) -> bytes:
    """Returns the graph of a module for images like `pixels` (1, H, W, ...), or of any height and width."""
    file = io.BytesIO()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings():
        # The exporter from traces is the old one; the new one takes 20 times as long for the same graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (pixels,),
            file,  # type: ignore[arg-type]  # the exporter of traces takes it
            input_names=[IMAGE],
            output_names=list(outputs),
            opset_version=OPSET,
            dynamic_axes=None if is_fixed else {IMAGE: {1: "height", 2: "width"}},
            dynamo=False,
        )
    return file.getvalue()
