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

"""ONNX graphs of modules."""

from __future__ import annotations

import io
import logging
import math
import warnings
from collections.abc import Sequence

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from scene_geo_loc.networks.forward_pass import IMAGE, OPSET

LARGE_WEIGHTS = 1024
"""Tensors of fewer numbers stay in float32, see `with_half_weights`."""


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


def with_half_weights(graph: bytes) -> bytes:
    """Returns a graph whose large weights are stored as float16, and computed with as float32."""
    model = onnx.load_model_from_string(graph)
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or math.prod(tensor.dims) < LARGE_WEIGHTS:
            continue
        name, values = tensor.name, onnx.numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, f"{name}.half"))
        cast = onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT)
        model.graph.node.insert(0, cast)
    return model.SerializeToString()
