"""package.xml, pyproject.toml and the code agree."""

from __future__ import annotations

import ast
import xml.etree.ElementTree as ElementTree
from importlib.metadata import EntryPoint, entry_points, version
from pathlib import Path

import pytest

import scene_geo_loc

ROOT = Path(__file__).parents[2]
MANIFEST = ElementTree.parse(ROOT / "package.xml").getroot()
ROS_PYTHON = ("rclpy", "launch", "launch_ros", "tf2_ros")


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


def commands() -> list[EntryPoint]:
    return [
        point for point in entry_points(group="console_scripts") if point.module.startswith("scene_geo_loc.")
    ]


def test_there_is_one_version() -> None:
    assert MANIFEST.findtext("version") == scene_geo_loc.__version__ == version("scene_geo_loc")


def test_the_licence_named_is_the_licence_shipped() -> None:
    licence = MANIFEST.find("license")
    assert licence is not None
    assert licence.text == "Apache-2.0"
    assert "Apache License" in (ROOT / licence.get("file", "")).read_text()


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
