"""Feature extraction: a scene network on single images, from pixels to NumPy arrays."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.runtime.backends import LATE, Backend, choose_backend


@dataclass(frozen=True)
class SceneFeatures:
    """Features of an image from one forward pass.

    Attributes:
        local_features: (rows, columns, C) float32, unit length at each cell.
        coarse_features: (rows', columns', C') float32, the late map.
        global_descriptor: (D,) float32 of unit length; None if the network is not yet fitted.
        depth: (H, W) float32 at the size of the network's input, metres; the largest depth of its scale also
            stands for everything farther and for sky.  None if the network infers no depth.
        depth_error: (H, W) float32, inferred scale of the depth's error, metres; None if the network does not
            infer it.
        late: if the network is not yet fitted, the maps (C', rows', columns') float32 to fit it to, one for
            each part of the descriptor; else None.
    """

    local_features: NDArray[np.float32]
    coarse_features: NDArray[np.float32]
    global_descriptor: NDArray[np.float32] | None
    depth: NDArray[np.float32] | None
    depth_error: NDArray[np.float32] | None
    late: tuple[NDArray[np.float32], ...] | None

    @property
    def described_by(self) -> tuple[NDArray[np.float32], ...]:
        """The global descriptor, or the late maps that it will be computed from."""
        if self.global_descriptor is not None:
            return (self.global_descriptor,)
        assert self.late is not None
        return self.late


MIN_CONTRAST = 2.0
"""Smallest standard deviation of grey values; below it the camera is covered or saturated."""


def has_contrast(image: NDArray[np.uint8]) -> bool:
    """Returns whether an RGB image shows anything, rather than being black, saturated or of one colour."""
    return float(image[::8, ::8].mean(axis=2).std()) >= MIN_CONTRAST


def choose_device(name: str) -> torch.device:
    """Returns the torch device of this name; "auto" is a GPU if there is one, else the CPU."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


FIT_IMAGES = 1000
"""Most images that pooling and projection of a network are fitted on."""


def evenly_spread(count: int, most: int) -> NDArray[np.intp]:
    """Returns at most `most` of the numbers from 0 to `count` - 1, evenly spread."""
    return np.unique(np.linspace(0, count - 1, most).astype(np.intp)) if count else np.zeros(0, np.intp)


class Extractor:
    """A scene network on a device, optimised for single images.

    Fit its network only by `fit`: the backend holds copies of the weights.
    """

    def __init__(self, network: SceneNetwork, device: str = "auto") -> None:
        self.device = choose_device(device)
        self.network = network.eval().to(self.device)
        self._backend: Backend | None = choose_backend(self.network, self.device)

    @property
    def backend_name(self) -> str:
        """Name of the backend, "openvino" or "torch"."""
        return self._compiled().name

    def extract(self, image: NDArray[np.uint8]) -> SceneFeatures:
        """Returns the features of an RGB image (H, W, 3) uint8 of any size, resized to the network's
        input.
        """
        config = self.network.config
        size = (config.input_width, config.input_height)
        if (image.shape[1], image.shape[0]) != size:
            image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        outputs = self._compiled().run(image)
        late = tuple(outputs[name] for name in LATE if name in outputs)
        return SceneFeatures(
            outputs["local_features"],
            outputs["coarse_features"],
            outputs.get("global_descriptor"),
            outputs.get("depth"),
            outputs.get("depth_error"),
            late or None,
        )

    def fit(self, late_maps: Iterable[Sequence[NDArray[np.float32]]]) -> None:
        """Fits the network to the late maps of images (`SceneFeatures.late`), see `SceneNetwork.fit`.

        From then on `extract` returns global descriptors.
        """
        self.network.fit(late_maps)
        # Compiled only at the next `extract`: the builder of a map needs no more than `describe`.
        self._backend = None

    def _compiled(self) -> Backend:
        if self._backend is None:
            self._backend = choose_backend(self.network, self.device)
        return self._backend

    @torch.inference_mode()
    def describe(self, late: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Returns the global descriptor (D,) for late maps that were extracted before the network was
        fitted.
        """
        maps = [torch.from_numpy(late_map)[None].to(self.device) for late_map in late]
        return self.network.describe(maps)[0].cpu().numpy()
