"""How good the depth is that a decoder tells of a single image: judged against depth maps from lidar.

Protocol.  Image and depth map have a short side of 280 pixels.  The image is squashed to the network's
input, as it is to be described; the depth that comes out is brought back to the image's size and compared,
in metres, with every known pixel of the depth map within 80 m.  It is never scaled to the median of the
truth, as depth up to scale would be: the decoder learns metres.  Errors are pooled over the pixels of all
images of a condition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from scene_geo_loc.core.errors import CheckpointError, SceneGeoLocError
from scene_geo_loc.core.progress import ProgressCallback, ignore_progress
from scene_geo_loc.metrics.depth_error import DepthErrors
from scene_geo_loc.networks.architecture.decoders import Decoder
from scene_geo_loc.networks.architecture.descriptors import DESCRIPTORS
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork
from scene_geo_loc.networks.checkpoint import load_checkpoint
from scene_geo_loc.networks.runtime.extractor import choose_device
from scene_geo_loc.packs.image_pack import SHORT_SIDE, ImagePack, metres

F32 = NDArray[np.float32]
Image = NDArray[np.uint8]
Pair = tuple[Image, F32]
"""An RGB image (H, W, 3) and its depth map (H, W) in metres, NaN where unknown."""
COMPARED_WITHIN_M = 80.0
PROTOCOL = {
    "compared": f"pixels that the depth map knows within {COMPARED_WITHIN_M:g} m",
    "size": f"short side of {SHORT_SIDE} pixels",
    "scale": "metres as the decoder tells them, never scaled to the truth",
    "abs_rel": "mean of |estimate - truth| / truth over all pixels of a condition",
    "rmse_m": "root of the mean squared error over the same pixels, metres",
    "within_1_25": "share of them whose ratio, or its inverse, is below 1.25",
}
"""What the numbers mean, in words that are written beside them."""


def decoder_of(network: SceneNetwork) -> Decoder | None:
    """The part of a network that tells depth, or None: that of RGB+ learned no depth."""
    return network.descriptor.decoder if network.descriptor.infers_depth else None


class Pairs(Protocol):
    """Pairs that can be gone through, more than once."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Pair]: ...


class PackedPairs:
    """The pairs of an image pack, of images and depth maps as they are, neither cropped nor changed."""

    def __init__(self, pack: ImagePack) -> None:
        self._pack = pack
        self._usable = np.flatnonzero(pack.known > 0).tolist()

    def __len__(self) -> int:
        return len(self._usable)

    def __getitem__(self, number: int) -> Pair:
        i = self._usable[number]
        centimetres = self._pack.depth_centimetres(i)
        assert centimetres is not None
        return np.asarray(self._pack.image(i)), metres(centimetres)

    def __iter__(self) -> Iterator[Pair]:
        return map(self.__getitem__, range(len(self)))


class DepthEstimator:
    """What a network with a decoder says of how far things in an image are.

    Attributes:
        name: what tables and pictures call it.

    Raises CheckpointError where the network has no decoder.
    """

    def __init__(self, name: str, network: SceneNetwork, device: str = "auto") -> None:
        self.name = name
        self._device = choose_device(device)
        self._network = network.eval().to(self._device)
        decoder = decoder_of(network)
        if decoder is None:
            usable = [known for known, system in DESCRIPTORS.items() if system.infers_depth]
            raise CheckpointError(
                f"{name} infers no depth: its descriptor is {network.config.descriptor!r}; name a network "
                f"whose descriptor is {' or '.join(usable)}."
            )
        self._decoder = decoder

    @classmethod
    def load(cls, path: Path, device: str = "auto", name: str | None = None) -> DepthEstimator:
        """The estimator of a checkpoint, called after its file where no name is given.

        Raises CheckpointError.
        """
        network, _ = load_checkpoint(path)
        return cls(name or path.stem, network, device)

    @torch.inference_mode()
    def depth(self, image: Image) -> F32:
        """The depth (H, W) in metres of an RGB image (H, W, 3): 100 m is that or more, or sky."""
        config = self._network.config
        size = (config.input_width, config.input_height)
        pixels = np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        images = self._network.normalise(torch.from_numpy(pixels)[None].to(self._device).float())
        depth = self._decoder(self._network.encoder(images), (config.input_height, config.input_width)).depth
        told = self._network.depth_scale.metres(depth[0, 0]).cpu().numpy()
        height, width = image.shape[:2]
        return np.asarray(cv2.resize(told, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


@dataclass
class DepthComparison:
    """The errors of estimators on the same pairs.

    Attributes:
        pairs: how many pairs were compared, by condition.
        errors: by condition, then by estimator.
    """

    pairs: dict[str, int] = field(default_factory=dict)
    errors: dict[str, dict[str, DepthErrors]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The record that is written as JSON."""
        return {
            "protocol": PROTOCOL,
            "conditions": {
                condition: {
                    "pairs": self.pairs[condition],
                    "pixels": next(iter(errors.values())).compared,
                    "errors": {name: _numbers(of) for name, of in errors.items()},
                }
                for condition, errors in self.errors.items()
            },
        }


def compare_depth(
    estimators: Sequence[DepthEstimator],
    conditions: Mapping[str, Pairs],
    on_progress: ProgressCallback = ignore_progress,
) -> DepthComparison:
    """Compares what each estimator says with depth maps.

    Args:
        conditions: pairs by the name of what they were taken in.
        on_progress: receives the pairs done and their total.

    Raises SceneGeoLocError where a condition has no pixel to compare.
    """
    comparison = DepthComparison()
    done, total = 0, sum(map(len, conditions.values()))
    on_progress(done, total)
    for condition, pairs in conditions.items():
        errors = {estimator.name: DepthErrors() for estimator in estimators}
        for image, truth in pairs:
            for estimator in estimators:
                add_depth_error(errors[estimator.name], estimator.depth(image), truth)
            done += 1
            on_progress(done, total)
        if not next(iter(errors.values())).compared:
            raise SceneGeoLocError(
                f"{condition}: none of the {len(pairs)} depth maps knows a pixel within "
                f"{COMPARED_WITHIN_M:g} m; make them again from lidar."
            )
        comparison.pairs[condition], comparison.errors[condition] = len(pairs), errors
    return comparison


def add_depth_error(errors: DepthErrors, estimate: F32, truth: F32) -> None:
    """Adds the pixels of one depth map to errors: those known within 80 m, in metres as they are.

    `estimate` and `truth` are (H, W) of one size, `truth` NaN where unknown.
    """
    compared = (truth > 0) & (truth <= COMPARED_WITHIN_M)
    errors.add(estimate, truth, compared, compared)


def _numbers(errors: DepthErrors) -> dict[str, float | None]:
    numbers = errors.summary()
    del numbers["coverage"]  # a decoder gives every pixel a depth
    return numbers
