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

"""Errors that a user can act on.

Every message says in one sentence what was wrong, where, and what to do.  The command line prints it without
a traceback; the nodes log it.  Any other exception is a defect.
"""

from __future__ import annotations


class SceneGeoLocError(Exception):
    """Base class of the errors that a user can act on."""


class TraversalError(SceneGeoLocError):
    """A source of frames cannot be read."""


class UnclearPoses(TraversalError):
    """Several sources of poses may be the right one, or none can be: the user has to name it."""


class MapError(SceneGeoLocError):
    """A reference map is missing, damaged, cannot be written, or does not fit the request."""


class CheckpointError(SceneGeoLocError):
    """A checkpoint of a network is missing, damaged, or of another architecture."""


class InferenceError(SceneGeoLocError):
    """A network cannot be run on an image, or gives outputs that cannot be used."""


class SearchError(SceneGeoLocError):
    """The database that has the index of a map does not answer."""


class GeodesyError(SceneGeoLocError):
    """A position on the Earth is missing or impossible, or cannot be converted."""


LONGEST_REASON = 200
"""Most characters of a library's message that one of ours quotes."""


def reason_of(error: BaseException) -> str:
    """Returns in a few words what went wrong in a library: its message is the part in brackets of ours."""
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0] if len(lines[0]) <= LONGEST_REASON else lines[0][: LONGEST_REASON - 1] + "…"
