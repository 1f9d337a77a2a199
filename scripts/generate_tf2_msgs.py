#!/usr/bin/env python3
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

"""Generates the ROS package tf2_msgs (TFMessage only) into the virtual environment that runs this script.

The ROS 2 wheels on the package index lack tf2_msgs but have ROS's code generators.  This script generates
the package from its one-line definition and compiles it with gcc.  The result is interchangeable with the
original, because it has the same type hash, which is what ROS 2 nodes compare.

Run it as `VENV/bin/python scripts/generate_tf2_msgs.py`.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path

PACKAGE = "tf2_msgs"
DEPENDENCY = "geometry_msgs"
INTERFACE = "msg/TFMessage.msg"
DEFINITION = "geometry_msgs/TransformStamped[] transforms\n"
TYPE_HASH = "RIHS01_e369d0f05a23ae52508854b66f6aa0437f3449d652e8cbf22d5abe85d020f087"

GENERATOR_C = "rosidl_generator_c"
GENERATOR_PY = "rosidl_generator_py"
DISPATCH = "rosidl_typesupport_c"
FASTRTPS = "rosidl_typesupport_fastrtps_c"
INTROSPECTION = "rosidl_typesupport_introspection_c"


class GenerationError(Exception):
    """The package cannot be generated; the message says why and what to do."""


def generate_sources(share: Path, work: Path) -> Path:
    """Writes the C and Python sources of the package; returns their folder.

    Args:
        share: `share` folder that holds the interface definitions of geometry_msgs.
        work: an empty folder to work in.
    """
    try:
        from rosidl_cli.command.generate.extensions import load_type_extensions, load_typesupport_extensions
    except ImportError as error:
        raise GenerationError(
            f"the ROS 2 code generators are not installed in {sys.prefix} ({error}): "
            "install this package with its extra ros-wheels there"
        ) from error
    # The wheels register every generator twice, and rosidl_cli warns of each.
    logging.getLogger("rosidl_cli.entry_points").setLevel(logging.ERROR)

    definition = work / "definition"
    (definition / INTERFACE).parent.mkdir(parents=True)
    (definition / INTERFACE).write_text(DEFINITION)
    sources = work / "sources"
    generators = load_type_extensions(specs=["c", "py"])
    generators += load_typesupport_extensions(specs=["c", "fastrtps_c", "introspection_c"])
    with contextlib.redirect_stdout(io.StringIO()):
        for generator in generators:
            # The structs and their dispatching type support are both named "c", and share a folder.
            target = sources / generator.name
            generator.generate(PACKAGE, [f"{definition}:{INTERFACE}"], [str(share)], output_path=target)
    return sources


def check_type_hash(sources: Path) -> None:
    """Raises GenerationError if the type hash differs from that of every other ROS 2 system."""
    description = json.loads((sources / "c" / "msg" / "TFMessage.json").read_text())
    hashes = {entry["type_name"]: entry["hash_string"] for entry in description["type_hashes"]}
    found = hashes.get(f"{PACKAGE}/msg/TFMessage")
    if found != TYPE_HASH:
        raise GenerationError(
            f"the generated TFMessage has type hash {found} instead of {TYPE_HASH}, so other ROS 2 nodes "
            "cannot receive it: install a matching set of ROS 2 Jazzy wheels"
        )


class Compiler:
    """Compiles shared libraries against the headers and libraries of a prefix."""

    def __init__(self, prefix: Path, sources: Path, work: Path) -> None:
        import numpy as np

        self.libraries = work / "lib"
        self.libraries.mkdir()
        includes = [Path(sysconfig.get_path("include")), Path(np.get_include()), prefix / "include"]
        includes += [folder for folder in (prefix / "include").iterdir() if folder.is_dir()]
        for generator in ("c", "fastrtps_c", "introspection_c"):
            # Generated code includes its own headers as <tf2_msgs/msg/...>.
            root = work / "include" / generator
            root.mkdir(parents=True)
            (root / PACKAGE).symlink_to(sources / generator)
            includes.append(root)
        self.flags = ["-O2", "-fPIC", "-shared", *(f"-I{folder}" for folder in includes)]
        self.search = [f"-L{self.libraries}", f"-L{prefix / 'lib'}"]

    def library(self, name: str, sources: Iterable[Path], links: list[str]) -> None:
        """Compiles lib<name>.so into the folder `libraries`."""
        self.shared_object(self.libraries / f"lib{name}.so", sources, links)

    def shared_object(self, target: Path, sources: Iterable[Path], links: list[str]) -> None:
        """Compiles C or C++ sources into `target`, linked with the libraries named in `links`."""
        files = sorted(str(source) for source in sources)
        compiler = ["g++", "-std=c++17"] if files[0].endswith(".cpp") else ["gcc", "-std=gnu11"]
        command = [*compiler, *self.flags, f"-Wl,-soname,{target.name}", "-o", str(target), *files]
        command += [*self.search, *(f"-l{name}" for name in links)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise GenerationError(
                f"{compiler[0]} is not installed: run `sudo apt install build-essential`"
            ) from error
        except subprocess.CalledProcessError as error:
            raise GenerationError(f"{target.name} does not compile: {error.stderr.strip()}") from error


def build_package(prefix: Path, sources: Path, work: Path) -> tuple[Path, Path]:
    """Compiles everything; returns the folder of libraries and the finished Python package."""
    compiler = Compiler(prefix, sources, work)
    structs = f"{PACKAGE}__{GENERATOR_C}"
    conversion = f"{PACKAGE}__{GENERATOR_PY}"

    compiler.library(
        structs, sources.glob("c/**/*.c"), [f"{DEPENDENCY}__{GENERATOR_C}", "rosidl_runtime_c", "rcutils"]
    )
    for support, files, runtime in (
        (DISPATCH, "c/**/*.cpp", [DISPATCH]),
        (FASTRTPS, "fastrtps_c/**/*.cpp", [FASTRTPS, "rosidl_typesupport_fastrtps_cpp", "fastcdr"]),
        (INTROSPECTION, "introspection_c/**/*.c", [INTROSPECTION]),
    ):
        compiler.library(
            f"{PACKAGE}__{support}", sources.glob(files), [structs, f"{DEPENDENCY}__{support}", *runtime]
        )
    compiler.library(
        conversion,
        sources.glob("py/msg/_*_s.c"),
        [structs, f"{PACKAGE}__{DISPATCH}", f"{DEPENDENCY}__{GENERATOR_PY}"],
    )

    package = work / PACKAGE
    shutil.copytree(sources / "py" / "msg", package / "msg", ignore=shutil.ignore_patterns("*.c"))
    (package / "__init__.py").touch()
    for support in (DISPATCH, FASTRTPS, INTROSPECTION):
        compiler.shared_object(
            package / f"{PACKAGE}_s__{support}.so",
            [sources / "py" / f"_{PACKAGE}_s.ep.{support}.c"],
            [conversion, f"{PACKAGE}__{DISPATCH}", structs, f"{PACKAGE}__{support}"],
        )
    return compiler.libraries, package


def replace(source: Path, target: Path) -> None:
    """Copies a file or folder beside `target` and renames it, so that `target` is never half copied."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}")
    if source.is_dir():
        shutil.copytree(source, aside)
        shutil.rmtree(target, ignore_errors=True)
    else:
        shutil.copy2(source, aside)
    aside.rename(target)


def install(libraries: Path, package: Path, sources: Path, prefix: Path) -> None:
    """Installs under `prefix`; the importable package comes last, so an interrupted run is not importable."""
    for library in libraries.iterdir():
        replace(library, prefix / "lib" / library.name)
    share = prefix / "share" / PACKAGE / "msg"
    for suffix in (".idl", ".json"):
        (found,) = sources.glob(f"c/**/TFMessage{suffix}")
        replace(found, share / found.name)
    (share / Path(INTERFACE).name).write_text(DEFINITION)
    index = prefix / "share" / "ament_index" / "resource_index"
    (index / "packages" / PACKAGE).touch()
    (index / "rosidl_interfaces" / PACKAGE).write_text(INTERFACE + "\n")
    replace(package, Path(sysconfig.get_path("platlib")) / PACKAGE)


def main() -> None:
    """Generates, checks, compiles and installs."""
    prefix = Path(sys.prefix)
    if sys.prefix == sys.base_prefix:
        raise GenerationError(
            f"{sys.executable} is not in a virtual environment: run this with VENV/bin/python"
        )
    os.environ["AMENT_PREFIX_PATH"] = str(prefix)
    with tempfile.TemporaryDirectory(prefix="tf2_msgs_") as folder:
        work = Path(folder)
        sources = generate_sources(prefix / "share", work)
        check_type_hash(sources)
        libraries, package = build_package(prefix, sources, work)
        install(libraries, package, sources, prefix)


if __name__ == "__main__":
    try:
        main()
    except GenerationError as error:
        sys.exit(f"error: {error}")
