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

"""Augmentation: random crops, and changes of colours and light.

The crop is the authors' ("Learning Scene Geometry for Visual Localization in Challenging Conditions", ICRA
2019): 224 x 224 pixels of an image whose short side is 280, and the same pixels of its depth map.  There are
no flips, since a mirrored street is another street.  The photometric changes are this project's.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from scene_geo_loc.packs.image_pack import INPUT_SIZE, SHORT_SIDE, ImagePack, metres

Image = NDArray[np.uint8]

_GAIN = (0.5, 1.7)
_GAMMA = (0.6, 1.7)
_CONTRAST = (0.6, 1.5)
_TEMPERATURE = 0.25
"""Largest logarithm of the factor by which red is raised and blue lowered, or the reverse."""
_GREY_SHARE = 0.15
_DARK_SHARE = 0.3
_AMBIENT = (0.05, 0.4)
"""Fraction of the light that is left far from the headlights."""
_BLUR_SHARE, _BLUR_PIXELS = 0.3, (0.4, 2.0)
_NOISE_SHARE, _NOISE_GREY_VALUES = 0.5, (1.0, 12.0)


def draw_sample(
    pack: ImagePack, i: int, rng: np.random.Generator, augmentation: bool
) -> tuple[Image, NDArray[np.float32]]:
    """Draws a training sample of an image of a pack.

    Args:
        pack: of images with a short side of at least 224 pixels.
        i: number of the image.
        rng: source of everything random.
        augmentation: whether to change colours and light as well.

    Returns:
        The image (224, 224, 3) RGB uint8, and its depth (224, 224) in metres, NaN where unknown.  It is
        224/280 of the depth map: a crop shows everything larger, hence nearer, than the squashed image
        in which depth is inferred.
    """
    whole = pack.image(i)
    top, left = (int(rng.integers(side - INPUT_SIZE + 1)) for side in whole.shape[:2])
    crop = np.s_[top : top + INPUT_SIZE, left : left + INPUT_SIZE]
    image = np.array(whole[crop])
    centimetres = pack.depth_centimetres(i)
    depth = np.full(image.shape[:2], np.nan, np.float32) if centimetres is None else metres(centimetres[crop])
    depth *= np.float32(INPUT_SIZE / SHORT_SIDE)
    # From a generator of its own, so that later crops are the same with and without augmentation.
    return (augment(image, rng.spawn(1)[0]) if augmentation else image), depth


def augment(image: Image, rng: np.random.Generator) -> Image:
    """Changes an RGB image (H, W, 3) as if taken by another camera at another hour.

    Brightness, contrast, gamma and colour temperature always change; sometimes the image becomes grey, a
    night view in the light of headlights, blurred, or noisy.
    """
    image = _change_tones(image, rng)
    if rng.random() < _GREY_SHARE:
        image = np.asarray(
            cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8
        )
    if rng.random() < _DARK_SHARE:
        image = _darken(image, rng)
    if rng.random() < _BLUR_SHARE:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(*_BLUR_PIXELS)), np.uint8)
    if rng.random() < _NOISE_SHARE:
        # After darkening, since the noise of a sensor does not get darker.
        noise = rng.standard_normal(image.shape, np.float32)
        noise *= np.float32(rng.uniform(*_NOISE_GREY_VALUES))
        image = _as_pixels(noise + image)
    return image


def _change_tones(image: Image, rng: np.random.Generator) -> Image:
    """Changes gamma, contrast about the mean, gain and colour temperature, by a table for each colour."""
    gamma, gain = _log_uniform(rng, *_GAMMA), _log_uniform(rng, *_GAIN)
    contrast, warmth = _log_uniform(rng, *_CONTRAST), rng.uniform(-_TEMPERATURE, _TEMPERATURE)
    tone = np.linspace(0.0, 1.0, 256) ** gamma
    mean = float(tone[image].mean())
    tone = gain * (mean + contrast * (tone - mean))
    table = _as_pixels(255.0 * tone[:, None] * np.exp([warmth, 0.0, -warmth]))
    return np.asarray(cv2.LUT(image, table[None]), np.uint8)


def _darken(image: Image, rng: np.random.Generator) -> Image:
    """Makes a night view: little light everywhere, and a fading pool of light on the road ahead."""
    height, width = image.shape[:2]
    ambient, reach = rng.uniform(*_AMBIENT), rng.uniform(0.4, 1.0)
    x = np.linspace(0.0, 1.0, width, dtype=np.float32) - np.float32(rng.uniform(0.3, 0.7))
    y = np.linspace(0.0, 1.0, height, dtype=np.float32) - np.float32(rng.uniform(0.6, 0.9))
    across = np.exp(-((x / np.float32(rng.uniform(0.25, 0.5))) ** 2))
    up = np.exp(-((y / np.float32(rng.uniform(0.15, 0.35))) ** 2))
    light = np.float32(ambient) + np.float32(reach * (1.0 - ambient)) * np.outer(up, across)
    return _as_pixels(image * light[..., None])


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _as_pixels(values: NDArray) -> Image:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
