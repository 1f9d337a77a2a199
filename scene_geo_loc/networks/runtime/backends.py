"""Backends: what runs a network's forward pass on this machine.

A backend is one small class under one base.  Which of them runs follows from the device and from what is
installed (`choose_backend`); their numbers agree within 1e-3.
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
"""What the late map of each part of a descriptor is called."""

Outputs = dict[str, NDArray[np.float32]]
"""What a forward pass tells of an image, by the names of `ForwardPass.outputs`."""


class ForwardPass(nn.Module):
    """What every backend runs: pixels to all that the network tells of them, batch norms merged.

    The weights are copies: training or fitting the network afterwards does not change them.

    Attributes:
        outputs: names of what it gives: `local_features` (B, h, w, C) of unit length; `coarse_features`
            (B, h', w', C'), the late map of the image; then `global_descriptor` (B, D) of unit length or,
            of a network that is not fitted, the late maps (B, C', h', w') that it is fitted to (`LATE`);
            last, of a network that infers it, `depth` (B, H, W) in metres, up to its scale's `max_m`, and
            `depth_error` (B, H, W) in metres, how far off it may be, where the network infers that, too.
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
        """The outputs for images (B, H, W, 3) in [0, 255]."""
        network = self._network
        images = network.normalise(pixels.float())
        maps = network.encoder(images)
        inferred = network.descriptor.infer(images, maps)
        told = [network.local_features(maps).permute(0, 2, 3, 1), maps.late.permute(0, 2, 3, 1)]
        told += [network.describe(inferred.late)] if self._is_fitted else inferred.late
        if inferred.depth is not None:
            scale, depth = network.depth_scale, inferred.depth[:, 0]
            told.append(scale.metres(depth))
            if inferred.log_scale is not None:
                farther = (depth + inferred.log_scale[:, 0].exp()).clamp(max=1)
                told.append(scale.metres(farther) - told[-1])
        return tuple(told)


class Backend(ABC):
    """Base of the backends: made from a network, it takes images of the size of the network's input.

    Attributes:
        name: what diagnostics call it.
    """

    name: str

    @abstractmethod
    def run(self, image: NDArray[np.uint8]) -> Outputs:
        """The outputs for an RGB image (H, W, 3), without their first axis, in arrays of their own."""


class TorchBackend(Backend):
    """torch, on any device that it knows."""

    name = "torch"

    def __init__(self, network: SceneNetwork, device: torch.device) -> None:
        self._device = device
        self._forward = ForwardPass(network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.inference_mode()
    def run(self, image: NDArray[np.uint8]) -> Outputs:
        """See `Backend.run`."""
        pixels = torch.from_numpy(np.ascontiguousarray(image))[None].to(self._device)
        told = self._forward(pixels)
        return {name: one[0].cpu().numpy() for name, one in zip(self._forward.outputs, told, strict=True)}


class OpenVinoBackend(Backend):
    """OpenVINO on the CPU, in float32 also where the processor has shorter numbers."""

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
            warnings.simplefilter("ignore", FutureWarning)  # of torch: OpenVINO reads traces all the same
            traced = torch.jit.trace(forward, (pixels,), check_trace=False)
        # openvino.convert_model does what follows too, and reports each use to its makers over the network.
        frontend = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchScriptPythonDecoder(traced)  # the front end does not keep it alive
        model = frontend.convert(frontend.load(decoder))
        model.reshape(shape)
        settings = {
            ov.properties.hint.performance_mode: ov.properties.hint.PerformanceMode.LATENCY,
            ov.properties.hint.inference_precision: ov.Type.f32,
            # As many threads as torch would take, which the user can set by OMP_NUM_THREADS, and none of
            # them bound to a core that another node may be using.
            ov.properties.inference_num_threads: torch.get_num_threads(),
            ov.properties.hint.enable_cpu_pinning: False,
        }
        self._request = openvino_core().compile_model(model, "CPU", settings).create_infer_request()

    def run(self, image: NDArray[np.uint8]) -> Outputs:
        """See `Backend.run`."""
        told = self._request.infer([image[None]], share_inputs=True).to_tuple()
        return {name: one[0] for name, one in zip(self._outputs, told, strict=True)}


@cache
def openvino_core() -> Any:
    """The one openvino.Core of this process.

    Each one moves the stack that signals are handled on, and puts the one before back when it goes.  That may
    be gone by then, with the core that made it, and the next Ctrl-C ends in a segmentation fault.
    """
    import openvino as ov

    return ov.Core()


def choose_backend(network: SceneNetwork, device: torch.device) -> Backend:
    """The fastest backend that is installed for a device, and that can run the network."""
    if device.type == "cpu" and find_spec("openvino") is not None:
        try:
            return OpenVinoBackend(network)
        except Exception as error:  # versions of torch and OpenVINO that misfit do so in many ways
            reason = str(error).strip().splitlines() or [type(error).__name__]
            warnings.warn(f"OpenVINO cannot run the network ({reason[0]}): torch does.", stacklevel=2)
    return TorchBackend(network, device)


def _fuse_batch_norms(module: nn.Module) -> None:
    """Merges every batch norm into the convolution declared just before it; the outputs stay the same."""
    for parent in list(module.modules()):
        before, name_before = None, ""
        for name, child in list(parent.named_children()):
            if isinstance(before, nn.Conv2d | nn.ConvTranspose2d) and isinstance(child, nn.BatchNorm2d):
                transposed = isinstance(before, nn.ConvTranspose2d)
                setattr(parent, name_before, fuse_conv_bn_eval(before, child, transpose=transposed))
                setattr(parent, name, nn.Identity())
            before, name_before = child, name
