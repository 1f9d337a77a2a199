"""Backends: they run the forward pass of a network on this machine.

A backend is a small class under one base.  `choose_backend` chooses one by the device and by what is
installed; their outputs agree to within 1e-3.
"""

from __future__ import annotations

import copy
import warnings
from abc import ABC, abstractmethod
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from scene_geo_loc.networks.architecture.scene_network import SceneNetwork

LATE = ("late", "second_late")
"""Names of the late maps of the parts of a descriptor."""

Outputs = dict[str, NDArray[np.float32]]
"""Outputs of a forward pass for an image, by the names of `ForwardPass.outputs`."""


class ForwardPass(nn.Module):
    """The forward pass that every backend runs: from pixels to all outputs, with batch norms merged.

    It holds copies of the weights: later training or fitting of the network does not change them.

    Attributes:
        outputs: names of the outputs: `local_features` (B, h, w, C) of unit length; `coarse_features`
            (B, h', w', C'), the late map of the image; `global_descriptor` (B, D) of unit length or, if the
            network is not fitted, the late maps (B, C', h', w') to fit it to (`LATE`); if the network infers
            depth, `depth` (B, H, W) in metres, up to `max_m` of its scale; and if it infers the error too,
            `depth_error` (B, H, W) in metres, one scale of the error.
    """

    def __init__(self, network: SceneNetwork) -> None:
        super().__init__()
        self._network = copy.deepcopy(network).eval()
        _fuse_batch_norms(self._network)
        self._is_fitted = network.is_fitted
        described = ("global_descriptor",) if self._is_fitted else LATE[: len(network.encoders)]
        depth: tuple[str, ...] = ("depth",) if network.descriptor.infers_depth else ()
        if network.config.uncertainty:
            depth += ("depth_error",)
        self.outputs = ("local_features", "coarse_features", *described, *depth)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Returns the outputs for images (B, H, W, 3) in [0, 255]."""
        network = self._network
        images = network.normalise(pixels.float())
        maps = network.encoder(images)
        inferred = network.descriptor.infer(images, maps)
        outputs = [network.local_features(maps).permute(0, 2, 3, 1), maps.late.permute(0, 2, 3, 1)]
        outputs += [network.describe(inferred.late)] if self._is_fitted else inferred.late
        if inferred.depth is not None:
            scale, depth = network.depth_scale, inferred.depth[:, 0]
            outputs.append(scale.metres(depth))
            if inferred.log_scale is not None:
                farther = (depth + inferred.log_scale[:, 0].exp()).clamp(max=1)
                outputs.append(scale.metres(farther) - outputs[-1])
        return tuple(outputs)


class Backend(ABC):
    """Base of the backends, which run a network on images of the size of its input.

    Attributes:
        name: name in diagnostics.
    """

    name: str

    @abstractmethod
    def run(self, image: NDArray[np.uint8]) -> Outputs:
        """Returns the outputs for an RGB image (H, W, 3), without the batch axis, in new arrays."""


class TorchBackend(Backend):
    """torch, on any of its devices."""

    name = "torch"

    def __init__(self, network: SceneNetwork, device: torch.device) -> None:
        self._device = device
        self._forward = ForwardPass(network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def run(self, image: NDArray[np.uint8]) -> Outputs:
        """See `Backend.run`."""
        pixels = torch.from_numpy(np.ascontiguousarray(image))[None].to(self._device)
        outputs = self._forward(pixels)
        return {
            name: output[0].cpu().numpy() for name, output in zip(self._forward.outputs, outputs, strict=True)
        }


class OpenVinoBackend(Backend):
    """OpenVINO on the CPU, in float32 even if the processor supports lower precision."""

    name = "openvino"

    def __init__(self, network: SceneNetwork) -> None:
        import openvino as ov
        from openvino.frontend import FrontEndManager
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        forward = ForwardPass(network)
        self._outputs = forward.outputs
        shape = [1, network.config.input_height, network.config.input_width, 3]
        pixels = torch.zeros(shape, dtype=torch.uint8)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of torch, about traces, which OpenVINO reads
            traced = torch.jit.trace(forward, (pixels,), check_trace=False)
        # openvino.convert_model would do the same, and report each use to its makers over the network.
        frontend = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(traced)  # the front end does not keep it alive
        model = frontend.convert(frontend.load(decoder))
        model.reshape(shape)
        settings = {
            ov.properties.hint.performance_mode: ov.properties.hint.PerformanceMode.LATENCY,
            ov.properties.hint.inference_precision: ov.Type.f32,
            # As many threads as torch, which users set by OMP_NUM_THREADS, and none of them bound to a core
            # that another node may be using.
            ov.properties.inference_num_threads: torch.get_num_threads(),
            ov.properties.hint.enable_cpu_pinning: False,
        }
        self._request = openvino_core().compile_model(model, "CPU", settings).create_infer_request()

    def run(self, image: NDArray[np.uint8]) -> Outputs:
        """See `Backend.run`."""
        outputs = self._request.infer([image[None]], share_inputs=True).to_tuple()
        return {name: output[0] for name, output in zip(self._outputs, outputs, strict=True)}


@cache
def openvino_core() -> Any:
    """Returns the only openvino.Core of this process.

    Each core replaces the stack on which signals are handled and restores the previous one when it is
    destroyed.  With several cores that one may be gone, and the next Ctrl-C is a segmentation fault.
    """
    import openvino as ov

    return ov.Core()


def choose_backend(network: SceneNetwork, device: torch.device) -> Backend:
    """Returns the fastest installed backend for a device that can run the network."""
    if device.type == "cpu" and find_spec("openvino") is not None:
        try:
            return OpenVinoBackend(network)
        except Exception as error:  # incompatible versions of torch and OpenVINO fail in many ways
            reason = str(error).strip().splitlines() or [type(error).__name__]
            warnings.warn(f"OpenVINO cannot run the network ({reason[0]}): torch is used.", stacklevel=2)
    return TorchBackend(network, device)


def _fuse_batch_norms(module: nn.Module) -> None:
    """Merges each batch norm into the convolution declared just before it; the outputs stay the same."""
    for parent in list(module.modules()):
        before, name_before = None, ""
        for name, child in list(parent.named_children()):
            if isinstance(before, nn.Conv2d | nn.ConvTranspose2d) and isinstance(child, nn.BatchNorm2d):
                transposed = isinstance(before, nn.ConvTranspose2d)
                setattr(parent, name_before, fuse_conv_bn_eval(before, child, transpose=transposed))
                setattr(parent, name, nn.Identity())
            before, name_before = child, name
