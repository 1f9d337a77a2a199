"""One network, one forward pass: global descriptor and local features of an image."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor, nn

from scene_geo_loc.networks.encoders import ENCODERS
from scene_geo_loc.networks.pooling import POOLINGS

INPUT_AREA = 320 * 240
"""Most pixels of the network's input: what a keyframe's features take follows from it."""


class NetworkConfig(BaseModel):
    """What a scene network is built from; stored with its weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: str = Field(default="efficientnet_lite0", description="name of the encoder")
    pooling: str = Field(default="netvlad", description="name of the pooling")
    input_width: int = Field(default=320, ge=32, description="width that images are resized to, pixels")
    input_height: int = Field(default=240, ge=32, description="height that images are resized to, pixels")
    descriptor_size: int = Field(default=256, ge=1, description="length of the global descriptor")

    @field_validator("encoder")
    @classmethod
    def _known_encoder(cls, name: str) -> str:
        if name not in ENCODERS:
            raise ValueError(f"unknown encoder {name!r}; known are {', '.join(ENCODERS)}")
        return name

    @field_validator("pooling")
    @classmethod
    def _known_pooling(cls, name: str) -> str:
        if name not in POOLINGS:
            raise ValueError(f"unknown pooling {name!r}; known are {', '.join(POOLINGS)}")
        return name

    @classmethod
    def for_images(cls, width: int, height: int) -> NetworkConfig:
        """The default network with an input of the shape of these images and `INPUT_AREA` pixels at most."""
        multiple = ENCODERS[cls().encoder].multiple
        scale = (INPUT_AREA / (width * height)) ** 0.5
        input_height = max(2, round(height * scale / multiple)) * multiple
        fitting_width = min(INPUT_AREA // input_height, round(input_height * width / height))
        return cls(input_width=max(2, fitting_width // multiple) * multiple, input_height=input_height)


class SceneNetwork(nn.Module):
    """An encoder whose late map is pooled to the descriptor and whose early map is matched.

    The descriptor is the pooling's output projected to `descriptor_size` numbers.  Pooling and
    projection are fitted on a map's own images (`fit`); until then `is_fitted` is false.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = ENCODERS[config.encoder]()
        self.pooling = POOLINGS[config.pooling](self.encoder.late.channels)
        self.projection = nn.Linear(self.pooling.output_size, config.descriptor_size, bias=False)
        self.fitted: Tensor
        self.register_buffer("fitted", torch.tensor(False))

    @property
    def is_fitted(self) -> bool:
        """Whether `describe` gives descriptors."""
        return bool(self.fitted)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the local features."""
        early = self.encoder.early
        return early.cells(self.config.input_height), early.cells(self.config.input_width)

    def cell_centres(self) -> NDArray[np.float64]:
        """Pixels (rows * columns, 2) of the network's input at the centres of the local features."""
        rows, columns = self.grid
        early = self.encoder.early
        y, x = np.mgrid[:rows, :columns]
        return np.stack([x.ravel(), y.ravel()], axis=1) * float(early.stride) + early.offset

    def normalise(self, pixels: Tensor) -> Tensor:
        """Images (B, H, W, 3) in [0, 255] to the encoder's input (B, 3, H, W)."""
        mean, std = pixels.new_tensor(self.encoder.mean), pixels.new_tensor(self.encoder.std)
        return ((pixels - mean) / std).permute(0, 3, 1, 2)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Unit local features (B, C, h, w) and the late map (B, C', h', w') of normalised images."""
        maps = self.encoder(images)
        return F.normalize(maps.early, dim=1), maps.late

    def describe(self, late: Tensor) -> Tensor:
        """Unit global descriptors (B, descriptor_size) of late maps (B, C', h', w')."""
        return F.normalize(self.projection(self.pooling(late)), dim=1)

    @torch.inference_mode()
    def fit(self, late_maps: Iterable[NDArray[np.float32]]) -> None:
        """Fits pooling and projection to late maps, each (C', h', w'), of a place's own images.

        The projection is the truncated SVD of the pooled descriptors without centring: cosines
        between a query and the images fitted on stay what they were, as far as its size allows.
        Where there are fewer images than `descriptor_size`, the remaining rows are zero.
        """
        maps = [np.asarray(late, np.float32) for late in late_maps]
        self.pooling.fit(np.concatenate([late.reshape(late.shape[0], -1).T for late in maps]))
        device = self.projection.weight.device
        pooled = (
            torch.cat([self.pooling(torch.from_numpy(late)[None].to(device)) for late in maps]).cpu().numpy()
        )
        # The Gram matrix is small where the descriptors are long: its eigenvectors give the SVD.
        values, vectors = np.linalg.eigh(pooled.astype(np.float64) @ pooled.T.astype(np.float64))
        order = np.argsort(values)[::-1][: self.config.descriptor_size]
        order = order[values[order] > 1e-9 * values.max()]
        axes = (vectors[:, order].T @ pooled) / np.sqrt(values[order])[:, None]
        self.projection.weight.zero_()
        self.projection.weight[: len(axes)] = torch.from_numpy(axes.astype(np.float32))
        self.fitted.fill_(True)
