"""What a descriptor benchmark compares: systems, of which there may be a run for each of several seeds.

A run of a system is small: its networks are loaded when it is its turn, and go when it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.evaluation.describe import describe_images, fit_extractor
from scene_geo_loc.evaluation.scenario_images import Image, Size
from scene_geo_loc.networks.scene_network import NetworkConfig

if TYPE_CHECKING:
    from scene_geo_loc.networks.extractor import Extractor
    from scene_geo_loc.networks.scene_network import SceneNetwork

ENCODER_LETTERS = {"alexnet": "A", "resnet18": "R", "resnet18_truncated": "Rt"}
"""How the paper abbreviates encoders; other ones keep their names."""

KINDS = {"rgb": "RGB", "rgb_plus": "RGB+", "rgbtd": "RGBtD", "hallucination": "Hallucination"}
_POOLINGS = {"mac": "MAC", "netvlad": "NetVLAD", "gem": "GeM"}

PLAIN = {
    "colouring": "jet",
    "fusion": "concatenate",
    "uncertainty": False,
    "augmentation": False,
    "depth_loss": "l1",
}
"""The traits of the paper's own systems, beside encoder, pooling and descriptor."""


class DescriptorSystem(Protocol):
    """What makes a descriptor of an image, its networks in memory."""

    def fit(self, images: Iterable[Image]) -> None:
        """Adapts to at most `FIT_KEYFRAMES` reference images, spread over the place, where it needs that."""
        ...

    def describe(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Unit descriptors (N, D) of RGB images, each (H, W, 3)."""
        ...

    @property
    def parameters(self) -> int:
        """Numbers in its networks, once it is fitted."""
        ...

    @property
    def backend_name(self) -> str:
        """What runs its networks, once it is fitted."""
        ...


@dataclass(frozen=True)
class SystemName:
    """What a row of the table is: equal for runs that differ in nothing but the seed.

    Attributes:
        name: of the system, as its config has it.
        protocol: name of the protocol of its training; empty where it was not trained by one.
        whitened: to how many numbers its descriptors are PCA-whitened; None where they are not.
    """

    name: str
    protocol: str = ""
    whitened: int | None = None

    def __str__(self) -> str:
        return self.name if self.whitened is None else f"{self.name}, PCA-whitened to {self.whitened}"


@dataclass(frozen=True)
class SystemRun:
    """A system as one seed made it.

    Attributes:
        system: what row it belongs to.
        load: gives the system, its networks in memory.
        input_size: what images of a width and height are resized to for it.
        seed: of its training; None where it has none.
        traits: what distinguishes systems: encoder, pooling, descriptor and so on, by name.
        digest: of what the system's descriptors follow from; empty where that is not known beforehand.
        parent: digest of the network that it was fine-tuned from; empty where there is none.
        whiten: the sizes that its descriptors are PCA-whitened to besides.
    """

    system: SystemName
    load: Callable[[], DescriptorSystem]
    input_size: Callable[[int, int], Size]
    seed: int | None = None
    traits: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    digest: str = ""
    parent: str = ""
    whiten: Sequence[int] = ()


class FirstNetwork:
    """An ImageNet encoder with NetVLAD and a projection, both fitted on the references, nothing trained."""

    name = "EfficientNet-Lite0 + NetVLAD, fitted on the references"

    def __init__(self, device: str = "auto") -> None:
        self._device = device
        self._extractor: Extractor | None = None

    def fit(self, images: Iterable[Image]) -> None:
        """Fits pooling and projection, and forgets what it was fitted on before."""
        self._extractor = fit_extractor(images, self._device)

    def describe(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Unit descriptors (N, 256)."""
        return describe_images(self._fitted, images)

    @property
    def parameters(self) -> int:
        """Those of encoder, pooling and projection."""
        return _parameters(self._fitted.network)

    @property
    def backend_name(self) -> str:
        """What runs the encoder."""
        return self._fitted.backend_name

    @property
    def _fitted(self) -> Extractor:
        assert self._extractor is not None
        return self._extractor


class CheckpointSystem:
    """A network as its checkpoint has it; fitted on the references where it is not trained."""

    def __init__(self, checkpoint: Path, device: str = "auto") -> None:
        from scene_geo_loc.networks.checkpoint import load_checkpoint
        from scene_geo_loc.networks.extractor import Extractor

        network, _ = load_checkpoint(checkpoint)
        self._extractor = Extractor(network, device)

    def fit(self, images: Iterable[Image]) -> None:
        """Fits pooling and projection of a network that is not fitted; leaves another one as it is."""
        if not self._extractor.network.is_fitted:
            self._extractor.network.fit([self._extractor.extract(image).late for image in images])

    def describe(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Unit descriptors (N, D), of the whole pass that a map is built with."""
        return describe_images(self._extractor, images)

    @property
    def parameters(self) -> int:
        """Those of all its parts."""
        return _parameters(self._extractor.network)

    @property
    def backend_name(self) -> str:
        """What runs the network."""
        return self._extractor.backend_name


def first_network(device: str = "auto") -> SystemRun:
    """The run of `FirstNetwork`, which has neither seed nor protocol."""

    def input_size(width: int, height: int) -> Size:
        config = NetworkConfig.for_images(width, height)
        return config.input_width, config.input_height

    return SystemRun(
        SystemName(FirstNetwork.name),
        lambda: FirstNetwork(device),
        input_size,
        traits=traits_of(NetworkConfig()) | {"descriptor": "untrained"},
    )


def traits_of(config: NetworkConfig) -> dict[str, Any]:
    """What of a network distinguishes systems: all but the size of its input."""
    return {
        key: value for key, value in config.model_dump().items() if key not in ("input_width", "input_height")
    }


def paper_name(traits: Mapping[str, Any]) -> str:
    """What the paper calls systems of this kind, encoder and pooling: "RGBtD + MAC (A)"."""
    kind, pooling, encoder = (str(traits.get(key, "")) for key in ("descriptor", "pooling", "encoder"))
    letters = ENCODER_LETTERS.get(encoder, encoder)
    return f"{KINDS.get(kind, kind)} + {_POOLINGS.get(pooling, pooling)} ({letters})"


def is_plain(traits: Mapping[str, Any]) -> bool:
    """Whether it is as the paper has it, with none of this package's switches."""
    return all(traits.get(key, value) == value for key, value in PLAIN.items())


def _parameters(network: SceneNetwork) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
