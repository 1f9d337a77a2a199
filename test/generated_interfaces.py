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

"""ROS packages that are not on the package index, generated for a test from their definitions.

They are those of nav2 and of the bond that its lifecycle manager keeps with each node.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import io
import logging
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

SCRIPT = Path(__file__).parents[1] / "scripts" / "generate_tf2_msgs.py"

BOND = {
    "msg/Status.msg": "std_msgs/Header header\nstring id\nstring instance_id\nbool active\n"
    "float32 heartbeat_timeout\nfloat32 heartbeat_period\n"
}
NAV2 = {
    "srv/LoadMap.srv": "string map_url\n---\nuint8 RESULT_SUCCESS=0\nuint8 RESULT_MAP_DOES_NOT_EXIST=1\n"
    "uint8 RESULT_INVALID_MAP_DATA=2\nuint8 RESULT_INVALID_MAP_METADATA=3\n"
    "uint8 RESULT_UNDEFINED_FAILURE=255\nnav_msgs/OccupancyGrid map\nuint8 result\n",
    "srv/SetInitialPose.srv": "geometry_msgs/PoseWithCovarianceStamped pose\n---\n",
}


def make_importable(package: str, definitions: dict[str, str], dependencies: list[str], work: Path) -> None:
    """Generates a package, compiles it, and makes it importable in this process, unless it is installed."""
    if importlib.util.find_spec(package) is not None:
        return
    script: Any = _script()
    script.PACKAGE = package
    sources = work / "sources"
    _generate(package, definitions, work / "definition", sources)
    compiler = script.Compiler(Path(sys.prefix), sources, work)
    compiler.flags[0] = "-O0"
    needed = [*dependencies, "service_msgs", "builtin_interfaces"]

    def of(support: str) -> list[str]:
        return [f"{dependency}__{support}" for dependency in needed]

    structs, dispatch = script.GENERATOR_C, script.DISPATCH
    compiler.library(
        f"{package}__{structs}", sources.glob("c/**/*.c"), [*of(structs), "rosidl_runtime_c", "rcutils"]
    )
    for support, files, runtime in (
        (dispatch, "c/**/*.cpp", [dispatch]),
        (
            script.FASTRTPS,
            "fastrtps_c/**/*.cpp",
            [script.FASTRTPS, "rosidl_typesupport_fastrtps_cpp", "fastcdr"],
        ),
        (script.INTROSPECTION, "introspection_c/**/*.c", [script.INTROSPECTION]),
    ):
        links = [f"{package}__{structs}", *of(support), *runtime]
        compiler.library(f"{package}__{support}", sources.glob(files), links)
    own = [f"{package}__{structs}", f"{package}__{dispatch}"]
    python = script.GENERATOR_PY
    compiler.library(f"{package}__{python}", sources.glob("py/*/_*_s.c"), [*own, *of(python)])
    importable = work / "python"
    importable.mkdir()
    (sources / "py").rename(importable / package)
    (importable / package / "__init__.py").touch()
    for support in (dispatch, script.FASTRTPS, script.INTROSPECTION):
        compiler.shared_object(
            importable / package / f"{package}_s__{support}.so",
            [importable / package / f"_{package}_s.ep.{support}.c"],
            [*own, f"{package}__{python}", f"{package}__{support}"],
        )
    # What is loaded already is not searched for, and what is dispatched to is searched for along this path.
    os.environ["LD_LIBRARY_PATH"] = f"{compiler.libraries}:{os.environ.get('LD_LIBRARY_PATH', '')}"
    for kind in (structs, script.FASTRTPS, script.INTROSPECTION, dispatch, python):
        ctypes.CDLL(str(compiler.libraries / f"lib{package}__{kind}.so"), ctypes.RTLD_GLOBAL)
    sys.path.insert(0, str(importable))
    importlib.invalidate_caches()


def _generate(package: str, definitions: dict[str, str], folder: Path, sources: Path) -> None:
    from rosidl_cli.command.generate.extensions import load_type_extensions, load_typesupport_extensions

    logging.getLogger("rosidl_cli.entry_points").setLevel(logging.ERROR)
    for name, text in definitions.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    os.environ.setdefault("AMENT_PREFIX_PATH", sys.prefix)
    generators = load_type_extensions(specs=["c", "py"])
    generators += load_typesupport_extensions(specs=["c", "fastrtps_c", "introspection_c"])
    files = [f"{folder}:{name}" for name in definitions]
    with contextlib.redirect_stdout(io.StringIO()):
        for generator in generators:
            share = str(Path(sys.prefix) / "share")
            generator.generate(package, files, [share], output_path=sources / generator.name)


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_tf2_msgs", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
