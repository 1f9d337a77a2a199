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

"""Shows the progress of a training: a bar for each epoch, then one line that stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from scene_geo_loc.cli.options.progress import AnnotatedProgress
    from scene_geo_loc.core.progress import ProgressCallback


class TrainingDisplay:
    """Shows a training; a `RunCallback`.

    Args:
        epoch_text: makes the line of an epoch from its record.
        is_shown: True if this process shows the progress.
    """

    def __init__(self, epoch_text: Callable[[dict[str, Any]], str], is_shown: bool = True) -> None:
        self._epoch_text, self._is_shown = epoch_text, is_shown
        self._bar: AbstractContextManager[AnnotatedProgress] | None = None
        self._on_progress: AnnotatedProgress | None = None

    @contextmanager
    def packing(self, title: str) -> Iterator[ProgressCallback]:
        """See `RunCallback.packing`; shows nothing if the pack is already there."""
        yield lambda done, total: self._show(title, "images", done, total)
        self.close()

    def on_stage(self, name: str) -> None:
        """See `RunCallback.on_stage`."""
        if self._is_shown:
            typer.echo(name)

    def on_batch(self, epoch: int, done: int, total: int, losses: dict[str, float]) -> None:
        """See `TrainingCallback.on_batch`."""
        from scene_geo_loc.cli.results.training import losses_text

        self._show(f"epoch {epoch}", "batches", done, total, losses_text(losses))

    def on_epoch(self, record: dict[str, Any]) -> None:
        """See `TrainingCallback.on_epoch`."""
        self.close()
        if self._is_shown:
            typer.echo(self._epoch_text(record))

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.__exit__(None, None, None)
            self._bar = self._on_progress = None

    def _show(self, title: str, unit: str, done: int, total: int, note: str = "") -> None:
        from scene_geo_loc.cli.options.progress import progress

        if not self._is_shown:
            return
        if self._on_progress is None:
            self._bar = progress(title, unit)
            self._on_progress = self._bar.__enter__()
        self._on_progress(done, total, note)
