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

"""ONNX Runtime: on any CPU, and on NVIDIA GPUs by CUDA or TensorRT."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.forward_pass import with_shape
from scene_geo_loc.networks.runtime.backends import (
    BackendError,
    GraphBackend,
    Outputs,
    Work,
    threads,
)

_log = logging.getLogger(__name__)


class OnnxRuntimeBackend(GraphBackend):
    """Base of the backends by one of ONNX Runtime's execution providers.

    Attributes:
        provider: name of the provider in ONNX Runtime.
        needs_shape: whether it runs only graphs whose input has a fixed shape.
    """

    provider: ClassVar[str]
    needs_shape: ClassVar[bool] = False

    def __init__(self, work: Work, number: int) -> None:
        """Loads the graph.

        Args:
            work: the graph, its outputs and the shape of its input.
            number: of the GPU; no meaning on the CPU.

        Raises BackendError where the provider does not start: ONNX Runtime itself would go on with another.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads()
        options.log_severity_level = 4  # a provider that fails is told of in one sentence, by us
        graph = work.graph if work.shape is None else with_shape(work.graph, work.shape)
        providers = [(self.provider, self.options(graph, number))]
        session = onnxruntime.InferenceSession(graph, options, providers=providers)
        if self.provider not in session.get_providers():
            raise BackendError(f"ONNX Runtime cannot start its {self.provider}")
        self._session, self._outputs = session, list(work.outputs)
        self._inputs = [value.name for value in session.get_inputs()]

    def options(self, graph: bytes, number: int) -> dict[str, Any]:
        """Returns the provider's options for a graph."""
        return {}

    def infer(self, inputs: Sequence[NDArray]) -> Outputs:
        """See `GraphBackend.infer`."""
        given = dict(zip(self._inputs, map(np.ascontiguousarray, inputs), strict=True))
        return dict(zip(self._outputs, self._session.run(self._outputs, given), strict=True))


class CpuBackend(OnnxRuntimeBackend):
    """ONNX Runtime on the CPU."""

    name, provider = "onnxruntime", "CPUExecutionProvider"


class CudaBackend(OnnxRuntimeBackend):
    """ONNX Runtime by CUDA, in float32."""

    name, provider = "onnxruntime CUDA", "CUDAExecutionProvider"

    def options(self, graph: bytes, number: int) -> dict[str, Any]:
        """See `OnnxRuntimeBackend.options`."""
        # TensorFloat-32 would change the features in the third digit.
        return {"device_id": number, "use_tf32": "0"}


class TensorRtBackend(OnnxRuntimeBackend):
    """ONNX Runtime by TensorRT, in float32, whose engine is built once for each network, size and GPU.

    The names of kept engines hold the GPU's architecture and the versions of CUDA and TensorRT: where these
    have changed, the engine is built anew.
    """

    name, provider = "onnxruntime TensorRT", "TensorrtExecutionProvider"
    needs_shape = True  # else an engine would be built for each new length of an input

    def options(self, graph: bytes, number: int) -> dict[str, Any]:
        """See `OnnxRuntimeBackend.options`."""
        import onnxruntime

        key = hashlib.sha256(graph + onnxruntime.__version__.encode()).hexdigest()[:16]
        folder = engine_folder() / key
        try:
            folder.mkdir(parents=True, exist_ok=True)
            is_new = not any(folder.iterdir())
        except OSError as error:
            raise BackendError(f"{folder} cannot be written: {error.strerror}") from error
        if is_new:
            _log.warning("Building the TensorRT engine of the network in %s: minutes, only once.", folder)
        return {
            "device_id": number,
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(folder),
        }


def engine_folder() -> Path:
    """Returns the folder of the TensorRT engines: scene_geo_loc/engines in the user's cache folder."""
    cache = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(cache or Path.home() / ".cache") / "scene_geo_loc" / "engines"
    except RuntimeError as error:
        raise SceneGeoLocError("This user has no home folder: set XDG_CACHE_HOME.") from error


def is_installed() -> bool:
    """Returns whether ONNX Runtime is installed; it is not imported."""
    return find_spec("onnxruntime") is not None


def gpu_providers() -> list[type[OnnxRuntimeBackend]]:
    """Returns the backends for NVIDIA GPUs that the installed ONNX Runtime was built with, fastest first."""
    if not is_installed():
        return []
    import onnxruntime

    built = onnxruntime.get_available_providers()
    return [kind for kind in (TensorRtBackend, CudaBackend) if kind.provider in built]
