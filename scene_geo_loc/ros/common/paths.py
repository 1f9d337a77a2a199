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

"""Paths that parameters and launch arguments name."""

from __future__ import annotations

from pathlib import Path

from scene_geo_loc.core.errors import SceneGeoLocError

PACKAGE = "package://"


def resolve_path(text: str) -> str:
    """Returns the path on this machine that a parameter names.

    `~` is the home folder, and `package://NAME/PATH` lies in the share folder of an installed ROS package.
    Other text is returned as it is.

    Raises SceneGeoLocError where that package is not installed.
    """
    if text.startswith("~"):
        try:
            return str(Path(text).expanduser())
        except RuntimeError as error:
            raise SceneGeoLocError(f"{text}: the home folder is unknown; name the whole path.") from error
    if not text.startswith(PACKAGE):
        return text
    from ament_index_python.packages import PackageNotFoundError, get_package_share_path

    package, _, path = text.removeprefix(PACKAGE).partition("/")
    try:
        return str(get_package_share_path(package) / path)
    except (PackageNotFoundError, OSError, ValueError) as error:
        raise SceneGeoLocError(f"{text}: the ROS package {package!r} is not installed.") from error
