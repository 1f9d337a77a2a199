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

"""Receivers of the progress of a training; torch is not imported here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from scene_geo_loc.core.progress import ProgressCallback, ignore_progress

Losses = dict[str, float]
Record = dict[str, Any]
"""A line of the log of a run."""


class TrainingCallback(Protocol):
    """Receives the progress of a training."""

    def on_batch(self, epoch: int, done: int, total: int, losses: Losses) -> None:
        """Called after each mini-batch with those done of the epoch's total, and its mean losses so far."""
        ...

    def on_epoch(self, record: Record) -> None:
        """Called after each epoch with its record, once everything is written."""
        ...


class RunCallback(TrainingCallback, Protocol):
    """Receives the progress of a run, with what comes before the epochs."""

    def packing(self, title: str) -> AbstractContextManager[ProgressCallback]:
        """Opens the display of a step over all images, such as packing them."""
        ...

    def on_stage(self, name: str) -> None:
        """Called with the title of each stage, such as the training of a network, when it begins."""
        ...


class NoCallback:
    """Ignores the progress of a run."""

    def on_batch(self, epoch: int, done: int, total: int, losses: Losses) -> None:
        """See `TrainingCallback.on_batch`."""

    def on_epoch(self, record: Record) -> None:
        """See `TrainingCallback.on_epoch`."""

    @contextmanager
    def packing(self, title: str) -> Iterator[ProgressCallback]:
        """See `RunCallback.packing`."""
        yield ignore_progress

    def on_stage(self, name: str) -> None:
        """See `RunCallback.on_stage`."""
