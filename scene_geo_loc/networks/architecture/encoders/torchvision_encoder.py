"""What the encoders have in common that are built of torchvision's modules."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from scene_geo_loc.core.errors import CheckpointError
from scene_geo_loc.networks.architecture.encoders.base import Encoder
from scene_geo_loc.networks.architecture.encoders.weights import fill_in


class TorchvisionEncoder(Encoder):
    """An encoder of torchvision's modules: its tensors are named as there, its pixels normalised so.

    torchvision is imported when such an encoder is made: it takes seconds, which a node with another
    encoder need not wait for.
    """

    imagenet_weights: ClassVar[str]
    """The name of the weights among torchvision's."""
    mean = (0.485 * 255, 0.456 * 255, 0.406 * 255)
    std = (0.229 * 255, 0.224 * 255, 0.225 * 255)

    def load_imagenet_weights(self) -> None:
        """Fetches them as torchvision does: from its cache on disk, or else over the network."""
        from torchvision.models import get_weight

        try:
            tensors = get_weight(self.imagenet_weights).get_state_dict(progress=False, check_hash=True)
        except (OSError, RuntimeError) as error:  # no network, or a file with another hash
            raise CheckpointError(
                f"{self.imagenet_weights} of torchvision could not be fetched ({error}): name a file of "
                "weights with `--weights FILE`; `scene-geo-loc train encoder` makes one without a network."
            ) from error
        fill_in(self, dict(tensors), Path(self.imagenet_weights))
