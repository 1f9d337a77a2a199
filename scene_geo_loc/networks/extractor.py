"""Runs a scene network on single images: from pixels to features in NumPy arrays."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from scene_geo_loc.networks.scene_network import SceneNetwork


@dataclass(frozen=True)
class SceneFeatures:
    """What one forward pass tells of an image.

    Attributes:
        local_features: (rows, columns, C) float32, unit length at each cell.
        late: (C', rows', columns') float32, the map that is pooled to the descriptor.
        global_descriptor: (D,) float32 of unit length, or None where the network is not yet fitted.
    """

    local_features: NDArray[np.float32]
    late: NDArray[np.float32]
    global_descriptor: NDArray[np.float32] | None


MIN_CONTRAST = 2.0
"""Standard deviation of grey values below which an image shows nothing: a covered or blinded camera."""


def has_contrast(image: NDArray[np.uint8]) -> bool:
    """Whether an RGB image shows anything, rather than being black, saturated or of one colour."""
    return float(image[::8, ::8].mean(axis=2).std()) >= MIN_CONTRAST


def choose_device(name: str) -> torch.device:
    """The named torch device; "auto" takes a GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def fuse_batch_norms(module: nn.Module) -> None:
    """Merges every batch norm into the convolution declared just before it; the outputs stay the same."""
    for parent in list(module.modules()):
        before, name_before = None, ""
        for name, child in list(parent.named_children()):
            if isinstance(before, nn.Conv2d) and isinstance(child, nn.BatchNorm2d):
                setattr(parent, name_before, fuse_conv_bn_eval(before, child))
                setattr(parent, name, nn.Identity())
            before, name_before = child, name


class Extractor:
    """A scene network on a device, made fast for single images."""

    def __init__(self, network: SceneNetwork, device: str = "auto") -> None:
        self.device = choose_device(device)
        self.network = network.eval().to(self.device)
        self._encoder = copy.deepcopy(network.encoder)
        fuse_batch_norms(self._encoder)
        self._encoder = self._encoder.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def extract(self, image: NDArray[np.uint8]) -> SceneFeatures:
        """Features of an RGB image (H, W, 3) uint8 of any size; it is resized to the network's input."""
        config = self.network.config
        size = (config.input_width, config.input_height)
        if (image.shape[1], image.shape[0]) != size:
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        pixels = torch.from_numpy(np.ascontiguousarray(image))[None].to(self.device).float()
        early, late = self._encoder(self.network.normalise(pixels))
        local_features = functional.normalize(early, dim=1)
        descriptor = self.network.describe(late)[0].cpu().numpy() if self.network.is_fitted else None
        return SceneFeatures(
            local_features[0].permute(1, 2, 0).cpu().numpy(), late[0].cpu().numpy(), descriptor
        )

    @torch.inference_mode()
    def describe(self, late: NDArray[np.float32]) -> NDArray[np.float32]:
        """The global descriptor (D,) of a late map (C', h', w') extracted before."""
        return self.network.describe(torch.from_numpy(late)[None].to(self.device))[0].cpu().numpy()
