"""XFeat's sparse local features (Potje et al., CVPR 2024)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from scene_geo_loc.matchers.keypoints import QUERY_KEYPOINTS, KeypointMatcher
from scene_geo_loc.matchers.xfeat_network import MULTIPLE, load_published, load_saved, save, wheel_weights
from scene_geo_loc.networks.architecture.scene_network import SceneNetwork


class XFeatMatcher(KeypointMatcher):
    """A small network that detects and describes keypoints; its weights are an optional package."""

    name = "xfeat"
    min_inlier_ratio = 0.15
    min_coverage = 0.35
    capacity = 700
    channels = 64
    multiple = MULTIPLE

    def __init__(self, network: SceneNetwork, weights_path: Path | None = None) -> None:
        super().__init__(network, weights_path)
        self._xfeat = load_saved(weights_path) if weights_path else load_published(wheel_weights())

    @torch.inference_mode()
    def detect(self, grey: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """See `KeypointMatcher.detect`."""
        height, width = grey.shape
        maps = self._xfeat(torch.from_numpy(grey)[None])
        best, at = maps.score.flatten().topk(QUERY_KEYPOINTS)
        at = at[best > 0]
        pixels = torch.stack([at % width, at // width], dim=1)
        grid = (2 * pixels.float() + 1) / torch.tensor([width, height]) - 1
        sampled = F.grid_sample(maps.descriptors, grid[None, None], mode="bicubic", align_corners=False)
        return pixels.double().numpy(), F.normalize(sampled[0, :, 0].T, dim=1).numpy()

    def save(self, path: Path) -> None:
        """Writes the weights, so that localizing in the map does not need the package."""
        save(self._xfeat, path)
