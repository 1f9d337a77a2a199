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

"""package.xml, pyproject.toml and the code agree."""

from __future__ import annotations

import ast
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path
from typing import Any

import pytest

import scene_geo_loc

ROOT = Path(__file__).parents[2]
MANIFEST = ElementTree.parse(ROOT / "package.xml").getroot()
NAME = "scene_geo_loc"
ROS_PYTHON = ("ament_index_python", "rclpy", "launch", "launch_ros", "tf2_ros")
RECIPES = {"robot_localization", "nav2_lifecycle_manager", "nav2_map_server"}
"""Packages that are started by launch files that are of use with them only."""


def imports_of(folder: Path) -> set[str]:
    """The top-level packages that the files under a folder import."""
    found = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found


@pytest.fixture(scope="module")
def setup_values() -> dict[str, Any]:
    """Returns the metadata as colcon reads it, which takes literals of Python only."""
    pytest.importorskip("setuptools")
    code = (
        "import setuptools\n"
        "from distutils.core import run_setup\n"
        "made = run_setup('setup.py', script_args=('--dry-run',), stop_after='config')\n"
        "left_out = ('cmdclass', 'distclass', 'ext_modules', 'metadata')\n"
        "print({key: value for key, value in made.__dict__.items() if not key.startswith('_')\n"
        "    and not callable(value) and key not in left_out and key not in made.display_option_names})\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    return ast.literal_eval(result.stdout.splitlines()[-1])  # fails as colcon does


def commands() -> list[EntryPoint]:
    return [
        point for point in entry_points(group="console_scripts") if point.module.startswith("scene_geo_loc.")
    ]


def test_there_is_one_version() -> None:
    assert MANIFEST.findtext("version") == scene_geo_loc.__version__ == version("scene_geo_loc")


def test_every_source_file_begins_with_its_copyright_and_licence() -> None:
    folders = ("scene_geo_loc", "test", "examples", "launch", "scripts", "docs")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")] + list(ROOT.glob("*.py"))
    heads = {path: path.read_text()[:400].removeprefix("#!/usr/bin/env python3\n") for path in files}
    assert [str(path) for path, head in heads.items() if not head.startswith("# Copyright 20")] == []
    assert [str(path) for path, head in heads.items() if "Apache License, Version 2.0" not in head] == []


def test_the_licence_named_is_the_licence_shipped() -> None:
    licence = MANIFEST.find("license")
    assert licence is not None
    assert licence.text == "Apache-2.0"
    assert "Apache License" in (ROOT / licence.get("file", "")).read_text()


def test_the_notice_names_all_weights_and_is_installed(setup_values: dict[str, Any]) -> None:
    notice = (ROOT / "NOTICE").read_text()
    paths = [path for ending in ("*.safetensors", "*.onnx") for path in (ROOT / NAME).rglob(ending)]
    weights = [str(path.relative_to(ROOT)) for path in paths]
    assert len(weights) >= 2
    assert [path for path in weights if path not in notice] == []
    assert "NOTICE" in dict(setup_values["data_files"])[f"share/{NAME}"]


def test_colcon_can_read_the_set_up(setup_values: dict[str, Any]) -> None:
    assert setup_values["python_requires"] == ">=3.10,<3.15"
    assert len(setup_values["entry_points"]["console_scripts"]) == 5


def test_colcon_installs_nodes_that_run_with_the_python_of_the_shell(setup_values: dict[str, Any]) -> None:
    options = setup_values["command_options"]
    assert options["build_scripts"]["executable"][1] == "/usr/bin/env python3"
    assert options["install"]["install_scripts"][1].endswith(f"lib/{NAME}")


def test_every_file_that_is_no_module_is_installed(setup_values: dict[str, Any]) -> None:
    patterns = setup_values["package_data"][NAME]
    installed = {path for pattern in patterns for path in (ROOT / NAME).glob(pattern)}
    others = {
        path
        for path in (ROOT / NAME).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and "__pycache__" not in path.parts
    }
    assert others - installed == set()


def test_the_five_commands_are_installed() -> None:
    names = {"scene-geo-loc", "localization_node", "map_builder_node", "bag_player", "bag_recorder"}
    assert {point.name for point in commands()} == names


@pytest.mark.parametrize("command", commands(), ids=lambda point: point.name)
def test_every_command_can_be_loaded(command: EntryPoint) -> None:
    if ".ros." in command.module:
        pytest.importorskip("rclpy")
    assert callable(command.load())


def test_every_ros_package_that_is_imported_is_declared() -> None:
    imported = imports_of(ROOT / "scene_geo_loc") | imports_of(ROOT / "launch")
    used = {name for name in imported if name.endswith(("_msgs", "_srvs")) or name in ROS_PYTHON}
    assert used
    assert used <= {depend.text for depend in MANIFEST.findall("exec_depend")}


def test_every_ros_package_whose_programs_are_launched_is_declared() -> None:
    launched = set()
    for path in [*(ROOT / "launch").glob("*.py"), ROOT / NAME / "ros" / "launch_arguments.py"]:
        launched |= {
            keyword.value.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
            for keyword in node.keywords
            if keyword.arg == "package" and isinstance(keyword.value, ast.Constant)
        }
    assert {"rviz2", NAME} <= launched
    assert launched - {NAME} - RECIPES <= {depend.text for depend in MANIFEST.findall("exec_depend")}
