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

"""OpenVINO on the CPU."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

from numpy.typing import NDArray

from scene_geo_loc.networks.runtime.backends import GraphBackend, Outputs, Work, threads

# Each import of OpenVINO is reported to its makers over the network, from a thread of its own, unless this
# package cannot be imported; a robot reports to nobody.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


class OpenVinoBackend(GraphBackend):
    """OpenVINO on the CPU, in float32 even if the processor supports lower precision."""

    name = "openvino"

    def __init__(self, work: Work) -> None:
        import openvino as ov

        model = openvino_core().read_model(work.graph)
        if work.shape is not None:
            model.reshape(list(work.shape))
        settings = {
            ov.properties.hint.performance_mode: ov.properties.hint.PerformanceMode.LATENCY,
            ov.properties.hint.inference_precision: ov.Type.f32,
            # None of the threads is bound to a core that another node may be using.
            ov.properties.inference_num_threads: threads(),
            ov.properties.hint.enable_cpu_pinning: False,
        }
        self._outputs = work.outputs
        self._request = openvino_core().compile_model(model, "CPU", settings).create_infer_request()

    def infer(self, inputs: Sequence[NDArray]) -> Outputs:
        """See `GraphBackend.infer`."""
        outputs = self._request.infer(list(inputs), share_inputs=True).to_tuple()
        return dict(zip(self._outputs, outputs, strict=True))


def is_installed() -> bool:
    """Returns whether OpenVINO is installed; it is not imported."""
    return find_spec("openvino") is not None


@cache
def openvino_core() -> Any:
    """Returns the only openvino.Core of this process.

    Each core replaces the stack on which signals are handled and restores the previous one when it is
    destroyed.  With several cores that one may be gone, and the next Ctrl-C is a segmentation fault.
    """
    import openvino as ov

    return ov.Core()
