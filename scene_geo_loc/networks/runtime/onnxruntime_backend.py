"""ONNX Runtime: on any CPU, and on NVIDIA GPUs by CUDA or TensorRT."""

from __future__ import annotations

import hashlib
import logging
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.networks.forward_pass import with_shape
from scene_geo_loc.networks.runtime.backends import Backend, BackendError, Outputs, Work, threads

_log = logging.getLogger(__name__)


class OnnxRuntimeBackend(Backend):
    """Base of the backends by one of ONNX Runtime's execution providers.

    Attributes:
        provider: name of the provider in ONNX Runtime.
    """

    provider: ClassVar[str]

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
        graph = with_shape(work.graph, work.shape)
        providers = [(self.provider, self.options(graph, number))]
        session = onnxruntime.InferenceSession(graph, options, providers=providers)
        if self.provider not in session.get_providers():
            raise BackendError(f"ONNX Runtime cannot start its {self.provider}")
        self._session, self._outputs = session, list(work.outputs)
        (self._input,) = (value.name for value in session.get_inputs())

    def options(self, graph: bytes, number: int) -> dict[str, Any]:
        """Returns the provider's options for a graph."""
        return {}

    def run(self, image: NDArray[np.uint8]) -> Outputs:
        """See `Backend.run`."""
        outputs = self._session.run(self._outputs, {self._input: np.ascontiguousarray(image)[None]})
        return {name: output[0] for name, output in zip(self._outputs, outputs, strict=True)}


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
