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

"""Opens sources of frames in any supported format."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from scene_geo_loc.core.errors import TraversalError
from scene_geo_loc.traversals.formats import FORMATS, OPTIONS, Content, SourceOptions, load_format
from scene_geo_loc.traversals.frame import Traversal
from scene_geo_loc.traversals.subset import Subset

if TYPE_CHECKING:
    from typing_extensions import Unpack

_SHOWN = 8
"""Number of names that a message lists."""


def open_traversal(
    source: Path | str,
    format: str | None = None,
    *,
    every: int = 1,
    offset: int = 0,
    start: float | None = None,
    end: float | None = None,
    needs: Content | None = None,
    **options: Unpack[SourceOptions],
) -> Traversal:
    """Opens a source of frames, or a part of it.

    Args:
        source: a bag, or the folder of a dataset.
        format: one of `FORMATS`; None to recognise it by its files.
        every, offset: frames number `offset`, `offset + every`, ... only.
        start, end: frames within these seconds from the first frame only.
        needs: data that the caller requires; formats that never have it are refused.
        options: what to take from sources that have several of a kind, see `SourceOptions`.

    Raises:
        TraversalError: the source is missing, of no known format, or cannot be read as that format; or
            the format does not take an option that is given, or lacks the needed data.
    """
    source = Path(source)
    subset = Subset(every, offset, start, end)
    name = format_of(source, format)
    chosen = load_format(name)
    given = {option: value for option, value in options.items() if value is not None}
    for option in given:
        if option not in chosen.options:
            taken = " and ".join(chosen.options) or "none of them"
            raise TraversalError(
                f"{source}: a source of the format {name} takes no {option}; of {', '.join(OPTIONS)} "
                f"it takes {taken}."
            )
    if needs is not None and needs not in chosen.content:
        having = [other for other in FORMATS if needs in load_format(other).content]
        raise TraversalError(
            f"{source}: a source of the format {name} has no {needs.value}; take one of {', '.join(having)}."
        )
    if not chosen.recognise(source):
        raise TraversalError(f"{source}: not {name}, which has {chosen.layout}; {_content(source)}.")
    return chosen.open(source, **given).subset(subset)


def format_of(source: Path, named: str | None = None) -> str:
    """Returns the format of a source: as `named` by the user, else recognised by its files.

    Raises:
        TraversalError: the source is missing or of no known format.
    """
    if not source.exists():
        raise TraversalError(f"{source} does not exist; check the path of the source.")
    if named is not None and named not in FORMATS:
        raise TraversalError(f"there is no format {named!r}; known formats: {', '.join(FORMATS)}.")
    found = named or _recognise(source)
    if found is not None:
        return found
    within = list(islice(sources_within(source), _SHOWN + 1)) if source.is_dir() else []
    if within:
        names = [f"{path.relative_to(source)} ({kind})" for path, kind in within]
        raise TraversalError(
            f"{source}: a folder of sources, not a source; name one of them: {_listed(names)}."
        )
    layouts = "".join(f"\n  {name}: {load_format(name).layout}" for name in FORMATS)
    raise TraversalError(
        f"{source}: the format is not recognised, {_content(source)}; a source is one of:{layouts}"
    )


def takes_split(format: str) -> bool:
    """Returns whether sources of a format have splits for training and for testing."""
    return "split" in load_format(format).options


def sources_within(folder: Path, depth: int = 2) -> Iterator[tuple[Path, str]]:
    """Yields the sources among the folders in a folder, `depth` levels deep, with their formats."""
    for child in sorted(filter(Path.is_dir, folder.iterdir())):
        if not os.access(child, os.R_OK | os.X_OK):
            continue
        name = _recognise(child)
        if name is not None:
            yield child, name
        elif depth > 1:
            yield from sources_within(child, depth - 1)


def _recognise(source: Path) -> str | None:
    return next((name for name in FORMATS if load_format(name).recognise(source)), None)


def _content(source: Path) -> str:
    if source.is_file():
        return "and this is a file"
    names = sorted(entry.name + "/" * entry.is_dir() for entry in source.iterdir())
    return f"and here there is {_listed(names) or 'nothing'}"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
