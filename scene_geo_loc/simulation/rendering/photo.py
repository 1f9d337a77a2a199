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

"""Image formation: from linear light to an RGB image by exposure, bloom, lens, noise and snowflakes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.simulation.conditions import Condition
from scene_geo_loc.simulation.randomness import stream

_TONES = 4096
_SHOT, _READ = 5e-4, 1.8e-3
"""Variance of the shot noise per signal, and standard deviation of the read noise; white is 1, gain 1."""

_SCATTER = ((0.12, 0.02), (0.06, 0.09))
"""Shares of the light that the lens scatters, and how far as shares of the image's width."""


class Photographer:
    """Turns linear light (H, W, 3) into an RGB uint8 image, as the camera of one drive would.

    The same seed and frame number give the same image.

    Args:
        vignette: share of the light that is lost at half a width from the image's centre.
        exposed: first and last row that the exposure is measured by, as shares of the height.
    """

    def __init__(
        self,
        condition: Condition,
        width: int,
        height: int,
        seed: int,
        vignette: float = 0.22,
        exposed: tuple[float, float] = (1 / 3, 1.0),
    ) -> None:
        self.condition = condition
        self.seed = seed
        self._exposed = slice(int(exposed[0] * height), int(exposed[1] * height), 4)
        x = (np.arange(width, dtype=np.float32) - width / 2) / (width / 2)
        y = (np.arange(height, dtype=np.float32) - height / 2) / (width / 2)
        falloff = 1 - np.float32(vignette) * (x[None] ** 2 + y[:, None] ** 2)
        self._vignette = np.repeat(falloff[..., None], 3, axis=2)
        tile = stream(seed, "noise").standard_normal((height + 256, width + 256, 3), dtype=np.float32)
        # A Bayer sensor's noise is coarser than a pixel once the colours are interpolated.
        self._noise = cv2.GaussianBlur(tile, (0, 0), 0.6) * np.float32(1.7)
        light = np.linspace(0, 1, _TONES)
        # Tone curve: linear, with a shoulder for the highlights; then a little contrast.
        bent = np.where(light * 4 < 0.5, light * 4, 1 - 0.5 * np.exp(-(light * 4 - 0.5) / 0.5))
        tone = np.clip(bent, 0, 1) ** (1 / 2.2)
        self._curve = (255 * (0.72 * tone + 0.28 * tone * tone * (3 - 2 * tone))).astype(np.float32)

    def develop(self, light: NDArray[np.float32], frame: int) -> NDArray[np.uint8]:
        """Returns the image (H, W, 3) of a frame."""
        rng = stream(self.seed, "frame", frame)
        light = self._expose(light)
        if self.condition.has_snow:
            light = self._snowflakes(light, rng)
        if self.condition.is_night:
            light = _scattered(light)
        sharp = np.asarray(cv2.GaussianBlur(light, (0, 0), 0.55), np.float32)
        sharp *= self._vignette
        if self.condition.gain > 1:
            sharp = self._amplified(sharp, rng)
        sharp *= np.float32(_TONES / 4)
        tones = self._curve.take(sharp.astype(np.intp), mode="clip")
        # In good light, noise is nearly even in gamma-encoded values.  The sum is rounded down.
        return np.asarray(cv2.addWeighted(tones, 1, self._grain(rng), 1.5, -0.5, dtype=cv2.CV_8U))

    def _grain(self, rng: np.random.Generator) -> NDArray[np.float32]:
        """Noise (H, W, 3) of about unit variance: a different part of the tile for each frame."""
        top, left = (int(v) for v in rng.integers(0, 256, 2))
        h, w = self._vignette.shape[:2]
        return self._noise[top : top + h, left : left + w]

    def _amplified(self, light: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Returns an amplified weak signal, with shot noise and read noise that has outliers.

        The blue channel is amplified most, since warm lamps give little blue light.
        """
        gain = np.float32(self.condition.gain) * np.array([0.9, 0.75, 1.6], np.float32)
        grain = self._grain(rng)
        read = grain * (1 + np.float32(0.12) * grain * grain)
        shot = self._grain(rng) * np.sqrt(np.maximum(light, 0) * gain * np.float32(_SHOT))
        return light + shot + read * gain * np.float32(_READ)

    def _expose(self, light: NDArray[np.float32]) -> NDArray[np.float32]:
        """Exposes for a part of the image: by default the lower two thirds, as a road camera does."""
        brightness = light[self._exposed, ::4, 1]
        mean = float(np.exp(np.mean(np.log(np.minimum(brightness, 4) + 1e-3))))
        return light * np.float32((self.condition.key / mean) ** 0.8 * (self.condition.key / 0.2) ** 0.2)

    def _snowflakes(self, light: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Adds snowflakes; near ones are large and out of focus."""
        h, w = light.shape[:2]
        layer = np.zeros((h, w), np.float32)
        for _ in range(int(w * h / 1400)):
            distance = rng.uniform(1.5, 12)
            centre = int(rng.integers(w)), int(rng.integers(h))
            cv2.circle(
                layer,
                centre,
                max(1, round(w * 0.0065 / distance)),
                float(min(1.0, 0.35 + 1.2 / distance)),
                -1,
                cv2.LINE_AA,
            )
        blurred = cv2.GaussianBlur(layer, (0, 0), 0.9).astype(np.float32)[..., None]
        return light * (1 - np.float32(0.75) * blurred) + blurred * np.float32(0.62)


def _scattered(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the light with halos around bright spots."""
    h, w = light.shape[:2]
    out = light * np.float32(1 - sum(share for share, _ in _SCATTER))
    for share, spread in _SCATTER:
        reduce = max(1, round(spread * w / 3))
        small = cv2.resize(light, (max(1, w // reduce), max(1, h // reduce)), interpolation=cv2.INTER_AREA)
        halo = cv2.GaussianBlur(small, (0, 0), spread * w / reduce)
        out += np.float32(share) * cv2.resize(halo, (w, h), interpolation=cv2.INTER_CUBIC)
    return np.maximum(out, 0)
