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

"""Adds to pyproject.toml what colcon (ament_python) reads and installs."""

from pathlib import Path

from setuptools import setup

NAME = "scene_geo_loc"
CONFIG_FOLDERS = ("config", "config/training/protocols", "config/training/systems")


def files_of(folder: str) -> list[str]:
    """Returns the files directly in a folder of the source tree."""
    return sorted(str(path) for path in Path(folder).iterdir() if path.is_file())


setup(
    license="Apache-2.0",
    python_requires=">=3.10,<3.15",
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["LICENSE", "NOTICE", "package.xml"]),
        (f"share/{NAME}/launch", files_of("launch")),
        *((f"share/{NAME}/{folder}", files_of(folder)) for folder in CONFIG_FOLDERS),
    ],
)
