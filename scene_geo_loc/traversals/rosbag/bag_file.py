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

"""A rosbag2 recording (MCAP) while it is being written, of serialized messages."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import McapWriter
from rosbags.typesys import Stores, get_typestore

from scene_geo_loc.core.errors import SceneGeoLocError, TraversalError
from scene_geo_loc.core.partial import PartialFolder

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from rosbags.typesys.store import Typestore


class BagFile:
    """A new recording; it is written to the hidden folder `.<path>.partial` and renamed at the end.

    Under the final name there is a complete recording or none.

    Attributes:
        path: final name.
        typestore: message types of ROS 2 Jazzy.
    """

    def __init__(self, path: Path, error: type[SceneGeoLocError] = TraversalError) -> None:
        """Prepares a recording; nothing is written yet.

        Args:
            error: class of the errors that are raised.
        """
        self.path = Path(path)
        self.typestore: Typestore = get_typestore(Stores.ROS2_JAZZY)
        self._error = error
        self._output = PartialFolder(self.path, "recording", hidden=True, error=error)
        self._connections: dict[str, Connection] = {}
        self._writer: Writer | None = None

    @property
    def topics(self) -> set[str]:
        """Topics of the recording."""
        return set(self._connections)

    @property
    def folder(self) -> Path:
        """Folder that the recording is written to."""
        return self._output.folder

    def begin(self, *, keep_interrupted: bool = False) -> list[Path]:
        """Creates the recording.

        Args:
            keep_interrupted: whether what a killed process left of this recording is kept, and the new one
                is written beside it; else it is removed.

        Returns the folders that are kept.
        Raises the error of the constructor where `path` exists, is being written or cannot be written.
        """
        if os.path.lexists(self.path):
            raise self._error(f"{self.path} exists already; give another name or remove it first.")
        kept = []
        try:
            if keep_interrupted:
                kept = self._output.begin_new()
            else:
                self._output.begin()
                self._output.restart()
            # The storage file is named after its folder, so the inner folder has the final name.
            self._writer = Writer(self.folder / self.path.name, version=9, storage_plugin=StoragePlugin.MCAP)
            self._writer.open()
        except OSError as failure:
            self._output.discard()
            raise self._error(f"{self.path}: the bag cannot be written ({failure}).") from failure
        return kept

    def add_topic(
        self, topic: str, kind: str, *, latched: bool, reliable: bool = True, depth: int = 10
    ) -> None:
        """Adds a topic, with the QoS that `ros2 bag play` shall offer.

        Args:
            kind: message type, `package/msg/Name`.
            latched: whether late subscribers get the last messages, too (transient local).
            depth: number of messages kept for a subscriber.
        """
        qos = _qos(latched, reliable, depth)
        self._connections[topic] = self._open.add_connection(
            topic, kind, typestore=self.typestore, offered_qos_profiles=[qos]
        )

    def write(self, topic: str, time_ns: int, data: bytes | memoryview) -> None:
        """Writes a serialized message (CDR). Raises the error of the constructor where that fails."""
        try:
            self._open.write(self._connections[topic], time_ns, data)
        except OSError as failure:
            raise self._error(f"{self.path}: the bag cannot be written ({failure}).") from failure

    def save(self) -> None:
        """Writes to the file what waits in memory, which survives then if this process is killed.

        Raises the error of the constructor where that fails.
        """
        storage = self._open.storage
        assert isinstance(storage, McapWriter)
        try:
            if storage.chunk.msgs:
                storage.close_chunk()
            storage.bio.flush()
        except OSError as failure:
            raise self._error(f"{self.path}: the bag cannot be written ({failure}).") from failure

    def publish(self) -> None:
        """Completes the recording and gives it its name. Raises the error of the constructor."""
        try:
            self._open.close()
        except OSError as failure:
            raise self._error(f"{self.path}: the bag cannot be finished ({failure}).") from failure
        self._writer = None
        self._output.publish(content=self.folder / self.path.name)

    def discard(self) -> None:
        """Removes what was written, unless it is published."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with suppress(OSError):  # for example of a full disk; the files are removed anyway
                writer.close()
        self._output.discard()

    @property
    def _open(self) -> Writer:
        if self._writer is None:
            raise RuntimeError("a recording takes messages only while it is being written")
        return self._writer


def _qos(latched: bool, reliable: bool, depth: int) -> Qos:
    forever = QosTime(9223372036, 854775807)
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=depth,
        reliability=QosReliability.RELIABLE if reliable else QosReliability.BEST_EFFORT,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=forever,
        lifespan=forever,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=forever,
        avoid_ros_namespace_conventions=False,
    )
