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

"""Systems that the descriptor benchmark compares, each with one run per seed.

The networks of a run are loaded only while it is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.benchmarks.descriptors.scenario_images import Image, Size
from scene_geo_loc.networks.architecture.checkpoint import untrained_network
from scene_geo_loc.networks.architecture.descriptors import DESCRIPTORS
from scene_geo_loc.networks.architecture.encoders import ENCODERS
from scene_geo_loc.networks.architecture.export import inference_network
from scene_geo_loc.networks.architecture.pooling import POOLINGS
from scene_geo_loc.networks.default import default_network
from scene_geo_loc.networks.inference_network import LATER_FIELDS, input_size_for
from scene_geo_loc.networks.runtime.image_descriptors import describe_images, fit_extractor

if TYPE_CHECKING:
    from scene_geo_loc.networks.inference_network import InferenceNetwork
    from scene_geo_loc.networks.runtime.extractor import Extractor

FIRST = "EfficientNet-Lite0 + NetVLAD, fitted on the references"
SHIPPED = "shipped default"
"""Names of the package's networks in the table."""

KINDS = {name: system.title for name, system in DESCRIPTORS.items()}
"""Titles of the descriptor systems, in the order of tables."""

PLAIN = {
    "depth_scale": "log",
    "colouring": "jet",
    "fusion": "concatenate",
    "uncertainty": False,
    "augmentation": False,
    "depth_loss": "l1",
}
"""Traits of the paper's systems besides encoder, pooling and descriptor, except for the depth scale."""


class DescriptorSystem(Protocol):
    """Computes descriptors of images, with its networks in memory."""

    def fit(self, images: Iterable[Image]) -> None:
        """Fits the system to at most `FIT_KEYFRAMES` reference images, if it needs that."""
        ...

    def describe(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Returns the unit descriptors (N, D) of RGB images, each (H, W, 3)."""
        ...

    @property
    def parameters(self) -> int:
        """Number of parameters of its networks, once it is fitted."""
        ...

    @property
    def backend_name(self) -> str:
        """Name of the backend that runs its networks, once it is fitted."""
        ...


@dataclass(frozen=True)
class SystemName:
    """Identity of a row of the table: equal for runs that differ only in the seed.

    Attributes:
        name: name of the system in its config.
        protocol: name of its training protocol; empty if it was not trained with one.
        whitened: size that its descriptors are PCA-whitened to, or None.
    """

    name: str
    protocol: str = ""
    whitened: int | None = None

    def __str__(self) -> str:
        return self.name if self.whitened is None else f"{self.name}, PCA-whitened to {self.whitened}"


@dataclass(frozen=True)
class SystemRun:
    """A system trained with one seed.

    Attributes:
        system: the row that it belongs to.
        load: loads the system for images of a width and height.
        input_size: size that images of a width and height are resized to.
        seed: seed of its training, or None.
        traits: encoder, pooling, descriptor and so on, by name.
        digest: digest of everything that the descriptors depend on; empty if it is not known beforehand.
        parent: digest of the network that it was fine-tuned from; empty if there is none.
        whiten: sizes to also PCA-whiten its descriptors to.
    """

    system: SystemName
    load: Callable[[int, int], DescriptorSystem]
    input_size: Callable[[int, int], Size]
    seed: int | None = None
    traits: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    digest: str = ""
    parent: str = ""
    whiten: Sequence[int] = ()


class NetworkSystem:
    """Scene network as used in maps; fitted on the references if it is not fitted yet."""

    def __init__(self, network: InferenceNetwork, device: str = "auto") -> None:
        self._network, self._device = network, device
        self._extractor: Extractor | None = None

    def fit(self, images: Iterable[Image]) -> None:
        """Fits pooling and projection of a network that is not fitted; leaves a fitted one unchanged."""
        self._extractor = fit_extractor(images, lambda width, height: self._network, self._device)

    def describe(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Returns the unit descriptors (N, D) of images, with a full forward pass for each."""
        return describe_images(self._fitted, images)

    @property
    def parameters(self) -> int:
        """Number of parameters of all parts."""
        return self._fitted.network.parameters

    @property
    def backend_name(self) -> str:
        """Name of the backend that runs the network."""
        return self._fitted.backend_name

    @property
    def _fitted(self) -> Extractor:
        assert self._extractor is not None
        return self._extractor


def runs_of_the_package(device: str = "auto") -> list[SystemRun]:
    """Returns the runs of the package's networks, which have neither seed nor protocol.

    The first is an ImageNet encoder with NetVLAD and a projection, both fitted on the references, without
    training. The second is the default network, unless it is the same.
    """
    first = inference_network(untrained_network())
    default = default_network()[0].without_depth()
    runs = [_of_any_shape(FIRST, first, "untrained", device)]
    if default.digest != first.digest:
        runs.append(_of_any_shape(SHIPPED, default, "shipped", device))
    return runs


def _of_any_shape(name: str, network: InferenceNetwork, descriptor: str, device: str) -> SystemRun:
    """Returns the run of a network whose input takes the aspect ratio of the images, as in a map."""

    def input_size(width: int, height: int) -> Size:
        signature = network.signature
        return input_size_for(width, height, signature.multiple, signature.input_area)

    def load(width: int, height: int) -> DescriptorSystem:
        return NetworkSystem(network.with_input_for(width, height), device)

    return SystemRun(
        SystemName(name),
        load,
        input_size,
        traits=traits_of(network.config) | {"descriptor": descriptor},
        digest=network.digest if network.is_fitted else "",
    )


def traits_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the settings of a network that distinguish systems: all but the size of its input."""
    settings = {**LATER_FIELDS, **config}
    return {key: value for key, value in settings.items() if key not in ("input_width", "input_height")}


def paper_name(traits: Mapping[str, Any]) -> str:
    """Returns the paper's name of such a system: "RGBtD + MAC (A)"."""
    kind, pooling, encoder = (str(traits.get(key, "")) for key in ("descriptor", "pooling", "encoder"))
    letters = (encoder in ENCODERS and ENCODERS[encoder].abbreviation) or encoder
    title = POOLINGS[pooling].title if pooling in POOLINGS else pooling
    return f"{KINDS.get(kind, kind)} + {title} ({letters})"


def is_plain(traits: Mapping[str, Any]) -> bool:
    """Returns True if a system has the traits of `PLAIN`: the paper's, except for the depth scale."""
    system = DESCRIPTORS.get(str(traits.get("descriptor")))
    fixed = {"colouring"} if system is not None and system.fixed_colouring else set()
    return all(traits.get(key, value) == value for key, value in PLAIN.items() if key not in fixed)
