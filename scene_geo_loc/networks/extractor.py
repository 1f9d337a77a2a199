"""Runs a scene network on single images: from pixels to features in NumPy arrays."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from scene_geo_loc.networks.backends import choose_backend
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


class Extractor:
    """A scene network on a device, made fast for single images."""

    def __init__(self, network: SceneNetwork, device: str = "auto") -> None:
        self.device = choose_device(device)
        self.network = network.eval().to(self.device)
        # Backends give what the late map is enough for; else the network itself runs.
        whole = self.network.descriptor.has_second_encoder
        self._backend = None if whole else choose_backend(self.network, self.device)

    @property
    def backend_name(self) -> str:
        """What runs the forward pass: "openvino" or "torch"."""
        return "torch" if self._backend is None else self._backend.name

    def extract(self, image: NDArray[np.uint8]) -> SceneFeatures:
        """Features of an RGB image (H, W, 3) uint8 of any size; it is resized to the network's input."""
        config = self.network.config
        size = (config.input_width, config.input_height)
        if (image.shape[1], image.shape[0]) != size:
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        if self._backend is None:
            return self._extract_by_whole_network(image)
        local_features, late = self._backend.run(image)
        return SceneFeatures(local_features, late, self.describe(late) if self.network.is_fitted else None)

    @torch.inference_mode()
    def _extract_by_whole_network(self, image: NDArray[np.uint8]) -> SceneFeatures:
        pixels = torch.from_numpy(np.ascontiguousarray(image))[None].to(self.device)
        features = self.network(self.network.normalise(pixels.float()))
        return SceneFeatures(
            features.local_features[0].permute(1, 2, 0).contiguous().cpu().numpy(),
            features.late[0].cpu().numpy(),
            features.global_descriptor[0].cpu().numpy() if self.network.is_fitted else None,
        )

    @torch.inference_mode()
    def describe(self, late: NDArray[np.float32]) -> NDArray[np.float32]:
        """The global descriptor (D,) of a late map (C', h', w') extracted before."""
        return self.network.describe(torch.from_numpy(late)[None].to(self.device))[0].cpu().numpy()
