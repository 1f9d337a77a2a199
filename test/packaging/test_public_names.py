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

"""`from scene_geo_loc import ...` offers the names of the five-line example, and imports nothing before."""

from __future__ import annotations

import subprocess
import sys
from importlib.resources import files

import pytest

import scene_geo_loc

HEAVY = ("cv2", "faiss", "matplotlib", "numpy", "pydantic", "torch")


@pytest.mark.parametrize("name", scene_geo_loc.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    assert getattr(scene_geo_loc, name)
    assert name in dir(scene_geo_loc)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Localiser'"):
        scene_geo_loc.Localiser  # type: ignore[attr-defined]  # noqa: B018


def test_importing_the_package_imports_no_heavy_library() -> None:
    code = f"import sys, scene_geo_loc; print(*[name for name in {HEAVY} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == []


def test_the_package_is_marked_as_typed() -> None:
    assert files("scene_geo_loc").joinpath("py.typed").is_file()
