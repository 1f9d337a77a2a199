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

"""Images sent as video, of ffmpeg_image_transport and others: each message is a packet of a stream.

PyAV decodes them; it is imported only where there is such a stream.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CODECS = {
    "h264": ("264",),
    "hevc": ("265", "hevc"),
    "av1": ("av1",),
    "vp9": ("vp9",),
    "vp8": ("vp8",),
    "mpeg4": ("mpeg4",),
}
"""Names of FFmpeg's decoders, with parts of the names that encoders and drivers give."""

PYAV_MISSING = (
    "the package PyAV decodes such images and is not installed: install `av`, or this package with the "
    "extra `video`"
)


def video_codec(format: str) -> str | None:
    """Returns the name of FFmpeg's decoder for an encoding such as `libx264` or `hevc_nvenc`; else None."""
    first = format.partition(";")[0].lower()
    return next((codec for codec, parts in _CODECS.items() if any(part in first for part in parts)), None)


class VideoImage:
    """Image of a video, in place of its message.

    Args:
        pixels: (H, W, 3) uint8 RGB; None where the stream gave no image for a packet.
    """

    def __init__(self, pixels: NDArray[np.uint8] | None) -> None:
        self._pixels = pixels

    def decode(self) -> VideoImage:
        """Returns itself. Raises ValueError where there is no image."""
        if self._pixels is None:
            raise ValueError("a packet of video without an image, such as those before the first whole image")
        return self

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB."""
        assert self._pixels is not None
        return self._pixels


class VideoDecoder:
    """Decodes the packets of one stream in their order.

    Raises:
        ValueError: PyAV is not installed, or lacks the decoder.
    """

    def __init__(self, codec: str) -> None:
        try:
            self._av: Any = import_module("av")
            self._context = self._av.CodecContext.create(codec, "r")
        except ModuleNotFoundError as error:
            raise ValueError(PYAV_MISSING) from error
        except Exception as error:  # the library raises errors of its own
            raise ValueError(f"PyAV has no decoder of {codec} ({error})") from error
        self._context.thread_type = "SLICE"  # threads that share an image give it without delay
        self._context.flags |= self._av.codec.context.Flags.low_delay
        self._waiting: set[int] = set()

    def feed(self, number: int, message: Any) -> list[tuple[int, VideoImage]]:
        """Decodes a packet; returns the images that are ready, with the numbers of their packets."""
        self._waiting.add(number)
        data = bytes(memoryview(message.data))
        if not data:  # would end the stream
            return []
        try:
            packet = self._av.Packet(data)
            packet.pts = packet.dts = number
            return self._images(packet)
        except self._av.FFmpegError:  # a damaged packet, or one before the first whole image
            return []

    def finish(self) -> list[tuple[int, VideoImage]]:
        """Returns the images that are still in the decoder, and those that never came, as undecodable."""
        try:
            images = self._images(None)
        except self._av.FFmpegError:
            images = []
        return images + [(number, VideoImage(None)) for number in sorted(self._waiting)]

    def _images(self, packet: Any) -> list[tuple[int, VideoImage]]:
        images = []
        for frame in self._context.decode(packet):
            if frame.pts in self._waiting:
                self._waiting.remove(frame.pts)
                images.append((int(frame.pts), VideoImage(frame.to_ndarray(format="rgb24"))))
        return images
