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

"""Lines and cells of the tables of a pose benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

UNKNOWN = "–"


@dataclass(frozen=True)
class Line:
    """A line of a table; without cells the method was not run, and the note gives the reason."""

    name: str
    cells: Sequence[str] = ()
    note: str = ""


def share(value: float | None) -> str:
    """Returns a share in per cent, without the sign."""
    return UNKNOWN if value is None else f"{100 * value:.1f}"


def number(value: float | None, digits: int) -> str:
    """Returns a number as text, or a dash where it is not known."""
    return UNKNOWN if value is None else f"{value:.{digits}f}"
