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

"""Backends: they run the forward pass of a network on this machine.

A backend is a small class under one base.  `start_backend` takes the first that starts, in the order of
`backends_for`; their outputs agree to within 1e-3.
"""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.core.parallel import available_cores

_log = logging.getLogger(__name__)

Outputs = dict[str, NDArray[np.float32]]
"""Outputs of a forward pass for an image, by name, without the batch axis."""


class BackendError(Exception):
    """A backend cannot run on this machine; the message is a part of a sentence."""


@dataclass(frozen=True)
class Work:
    """A graph, and the size of the images that it is run on.

    Attributes:
        graph: the forward pass as ONNX, whose free dimensions are set by `shape`.
        outputs: names of its outputs.
        shape: shape of the one input, with the batch axis of 1; None for a graph with several inputs or with
            inputs of any length.
    """

    graph: bytes
    outputs: tuple[str, ...]
    shape: tuple[int, ...] | None


class Backend(ABC):
    """Base of the backends, which run a graph on images of one size.

    Attributes:
        name: name in diagnostics.
    """

    name: str

    @abstractmethod
    def run(self, image: NDArray[np.uint8]) -> Outputs:
        """Returns the outputs for an image, (H, W, 3) or (H, W), in new arrays."""


class GraphBackend(Backend):
    """Base of the backends that run an ONNX graph."""

    @abstractmethod
    def infer(self, inputs: Sequence[NDArray]) -> Outputs:
        """Returns the outputs, in new arrays with all their axes, for the inputs in the graph's order."""

    def run(self, image: NDArray) -> Outputs:
        """See `Backend.run`."""
        return {name: output[0] for name, output in self.infer([image[None]]).items()}


Started = TypeVar("Started", bound=Backend)
Start = Callable[[], Started]
"""Starts a backend. Raises BackendError, or whatever its library raises, where it cannot run."""


def threads() -> int:
    """Returns the number of threads of a forward pass: OMP_NUM_THREADS, else one for each core."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdigit() and int(wanted) else available_cores()


def graph_backends(work: Work, device: str) -> list[tuple[str, Start[GraphBackend]]]:
    """Returns the installed backends that run graphs on a device, by name, the preferred first.

    Args:
        work: the graph.
        device: "auto", "cpu", or "cuda" with an optional number, as "cuda:1".

    Raises SceneGeoLocError where there is no such device.
    """
    from scene_geo_loc.networks.runtime import onnxruntime_backend as ort
    from scene_geo_loc.networks.runtime import openvino_backend as openvino

    kind, number = _parsed(device)
    found: list[tuple[str, Start[GraphBackend]]] = []
    if kind in ("auto", "cuda"):
        for provider in ort.gpu_providers():
            if work.shape is None and provider.needs_shape:
                continue
            found.append(
                (provider.name, lambda provider=provider: provider(work, number))  # type: ignore[misc]
            )
    if kind in ("auto", "cpu"):
        if openvino.is_installed():
            found.append((openvino.OpenVinoBackend.name, lambda: openvino.OpenVinoBackend(work)))
        if ort.is_installed():
            found.append((ort.CpuBackend.name, lambda: ort.CpuBackend(work, number)))
    return found


def start_first(backends: Sequence[tuple[str, Start[Started]]], device: str) -> Started:
    """Starts the first backend that can run; one warning tells of each that fails and of the next.

    Raises SceneGeoLocError where none is installed or none can run.
    """
    if not backends:
        raise SceneGeoLocError(
            f"No backend for the device {device!r} is installed: install {_INSTALL[_parsed(device)[0]]}."
        )
    reason = ""
    for number, (name, start) in enumerate(backends):
        try:
            return start()
        except Exception as error:  # libraries and drivers that do not fit each other fail in many ways
            # The first lines of a library name places in its code, the last one the reason.
            reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            if number + 1 < len(backends):
                following = backends[number + 1][0]
                _log.warning("%s cannot run the network (%s): %s is used.", name, reason, following)
    raise SceneGeoLocError(
        f"No backend can run the network; {backends[-1][0]} fails last ({reason}): install another, or name "
        "another device."
    )


_INSTALL = {
    "auto": "openvino or onnxruntime",
    "cpu": "openvino or onnxruntime",
    "cuda": "onnxruntime-gpu, or set the device to auto",
}


def _parsed(device: str) -> tuple[str, int]:
    """Returns kind and number of a device. Raises SceneGeoLocError where there is none of that name."""
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (number and not number.isdigit()):
        raise SceneGeoLocError(f"There is no device {device!r}: name auto, cpu, cuda, or cuda:1 and so on.")
    return kind, int(number or 0)
