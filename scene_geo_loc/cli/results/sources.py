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

"""Sentences on what was taken from a source of frames, and on what else there was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from scene_geo_loc.traversals.sources import Role

if TYPE_CHECKING:
    from scene_geo_loc.traversals.sources import SensorSource

_SHOWN = 6


def describe_source(source: SensorSource) -> str:
    """Returns one line on what was taken for a role."""
    if not source.name:
        return f"none ({source.reason})" if source.reason else "none"
    details = [source.kind] if source.kind and source.kind != source.name else []
    if source.messages:
        details.append(_count(source.messages))
    if source.of_frame:
        details.append(f"poses of {source.of_frame} in {source.frame}")
    elif source.frame:
        details.append(f"frame {source.frame}")
    if len(source.chain) > 1:
        details.append(" -> ".join(source.chain))
    if source.reason:
        details.append(source.reason)
    return f"{source.name} ({'; '.join(details)})" if details else source.name


def describe_passed_over(source: SensorSource) -> str:
    """Returns what else there was for a role, or nothing."""
    others = [
        f"{other.name} ({', '.join(filter(None, (_count(other.messages), other.reason)))})"
        for other in source.passed_over[:_SHOWN]
    ]
    more = len(source.passed_over) - len(others)
    return "; ".join([*others, *([f"and {more} more"] if more else [])])


def _count(messages: int) -> str:
    return f"{messages} messages" if messages else ""


def rows_of(sources: Sequence[SensorSource]) -> Iterator[tuple[str, str]]:
    """Yields the lines of a table: the role with what was taken, and what was not."""
    for source in sources:
        yield Role(source.role).value, describe_source(source)
        passed_over = describe_passed_over(source)
        if passed_over:
            yield "", f"not taken: {passed_over}"


def print_sources(name: str, sources: Sequence[SensorSource]) -> None:
    """Prints what was taken from a source; nothing for formats with one place for everything."""
    import typer

    if not sources:
        return
    typer.echo(f"Taken from {name}:")
    width = max(len(role) for role, _ in rows_of(sources))
    for role, text in rows_of(sources):
        typer.echo(f"  {role:<{width}}  {text}")
