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

"""Sets up the virtual environment of the package; does nothing if it is complete.

Run it as `python3 scripts/bootstrap.py [VENV] [TIER]`, or through make.  It needs the standard library only.
A Python that is too old for the package can still run it and gets an error message.
The environment uses a sourced ROS 2 installation; without one it gets ROS 2 from wheels.
The tier "light" has what the demo needs; "full", the default, has what training and the tests need as well.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen

CHECKOUT = Path(__file__).resolve().parents[1]
INPUTS = (
    "pyproject.toml",
    "setup.py",
    "scripts/bootstrap.py",
    "scripts/generate_tf2_msgs.py",
    "scene_geo_loc/__init__.py",
)
OLDEST, NEWEST = (3, 10), (3, 14)
LIGHT, FULL = "light", "full"
EXTRAS = {
    LIGHT: "reports,simulation",
    FULL: "clouds,database,dev,fleet,onnxruntime,reports,sfm,simulation,training",
}
SIZES = {LIGHT: "1.1 GB", FULL: "7 GB"}
ROS_MODULES = (
    "rclpy",
    "diagnostic_msgs",
    "domain_coordinator",
    "geometry_msgs",
    "lifecycle_msgs",
    "nav_msgs",
    "rosgraph_msgs",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "tf2_msgs",
)
# Content of the stamp file while pip installs.  After an interruption there, packages may be half copied
# and look complete to pip, so the environment must be created anew.
UNFINISHED = "unfinished"
NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeoutError|ProxyError|Network is unreachable"
    r"|Temporary failure in name resolution|Name or service not known|Connection refused|Read timed out"
)


class SetupError(Exception):
    """The environment cannot be set up; the message is one sentence with the way to mend it."""


def ros_distro() -> str | None:
    """Returns the name of the sourced ROS 2 distribution, or None."""
    return os.environ.get("ROS_DISTRO")


def check_python(version: tuple[int, int]) -> None:
    """Raises SetupError if the package does not support this version of Python."""
    if not OLDEST <= version <= NEWEST:
        raise SetupError(
            "Python {}.{} is not supported, one of 3.10 to 3.14 is needed: ".format(*version)
            + "name the interpreter, as in `make PYTHON=python3.12 setup`"
        )


def check_system() -> None:
    """Raises SetupError, with the apt packages to install, if venv or a compiler is missing."""
    python = "python{}.{}".format(*sys.version_info[:2])
    missing = {}
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        missing["Python's venv module"] = f"{python}-venv"
    if ros_distro() is None:
        if platform.machine() != "x86_64":
            raise SetupError(
                f"the ROS 2 wheels are for x86-64 only, and this machine is {platform.machine()}: "
                "install ROS 2 and source its setup.bash first"
            )
        if not (shutil.which("gcc") and shutil.which("g++")):
            missing["a C and C++ compiler"] = "build-essential"
        if not Path(sysconfig.get_path("include"), "Python.h").is_file():
            missing["Python's C headers"] = f"{python}-dev"
    if missing:
        what, packages = " and ".join(missing), " ".join(missing.values())
        raise SetupError(f"this machine lacks {what}: run `sudo apt install {packages}`")


def missing_modules(python: str, modules: tuple[str, ...]) -> list[str]:
    """Returns the modules that an interpreter cannot import."""
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    try: importlib.import_module(name)\n"
        "    except ImportError: print(name)\n"
    )
    result = subprocess.run([python, "-c", code, *modules], env=environment(), capture_output=True, text=True)
    if result.returncode:
        raise SetupError(
            f"{python} does not run ({result.stderr.strip()}): delete the environment and try again"
        )
    return result.stdout.split()


def check_ros() -> None:
    """Raises SetupError if the sourced ROS 2 lacks a required module."""
    distro = ros_distro()
    missing = missing_modules(sys.executable, ROS_MODULES)
    if "rclpy" in missing:
        raise SetupError(
            f"ROS 2 {distro} is sourced, but {sys.executable} cannot import its rclpy: use the Python it "
            "was built for, as in `make PYTHON=/usr/bin/python3 setup`, or a shell without sourced ROS 2"
        )
    if missing:
        packages = " ".join(f"ros-{distro}-{name.replace('_', '-')}" for name in missing)
        raise SetupError(f"ROS 2 {distro} lacks {', '.join(missing)}: run `sudo apt install {packages}`")


def requirements_of_ros() -> list[str]:
    """Returns the version of NumPy that the sourced ROS 2 is built for; pip would install a later one."""
    from importlib import metadata

    try:
        return [f"numpy=={metadata.version('numpy')}"]
    except metadata.PackageNotFoundError:
        return []


def environment() -> dict[str, str]:
    """Returns the environment variables for child processes."""
    # The ROS 2 wheels set this after they set the library path, possibly that of another environment.
    return {name: value for name, value in os.environ.items() if name != "_ROS_WHEELS_BOOTSTRAP_COMPLETE"}


def digest_of_inputs(venv: Path) -> str:
    """Returns a digest of everything that the environment depends on."""
    digest = hashlib.sha256()
    for name in INPUTS:
        digest.update((CHECKOUT / name).read_bytes())
    facts = (venv, CHECKOUT, sys.version, ros_distro(), os.environ.get("AMENT_PREFIX_PATH"))
    digest.update(repr(facts).encode())
    return digest.hexdigest()


class Progress:
    """Prints the current activity and its time: in place on a terminal, every ten seconds in a log."""

    def __init__(self) -> None:
        self.doing = "starting"
        self.started = time.monotonic()
        self.terminal = sys.stdout.isatty()
        self.stopped = threading.Event()
        self.ticker = threading.Thread(target=self.tick, daemon=True)

    def __enter__(self) -> Progress:
        self.ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.ticker.join()
        if self.terminal:
            print("\r\033[K", end="", flush=True)

    def elapsed_s(self) -> float:
        """Returns the seconds since the start."""
        return time.monotonic() - self.started

    def tick(self) -> None:
        """Prints until stopped."""
        while not self.stopped.wait(1.0 if self.terminal else 10.0):
            minutes, seconds = divmod(int(self.elapsed_s()), 60)
            line = f"  {minutes}:{seconds:02d}  {self.doing}"
            if self.terminal:
                line = line[: shutil.get_terminal_size().columns - 1]
                print(f"\r\033[K{line}", end="", flush=True)
            else:
                print(line, flush=True)


def activity(line: str) -> str | None:
    """Returns the activity that a line of pip's output reports, or None."""
    for pattern, meaning in (
        (r"Collecting ([\w.-]+)", r"resolving \1"),
        (r"\s*Downloading (?:\S*/)?([\w.]+)-\S+ \((.+)\)", r"downloading \1 (\2)"),
        (r"\s*Using cached ([\w.]+)-\S+ \((.+)\)", r"reading \1 from the cache (\2)"),
        (r"WARNING: Retrying .*", "the package index does not answer, retrying"),
    ):
        match = re.match(pattern, line)
        if match:
            return match.expand(meaning)
    match = re.match(r"Installing collected packages: (.+)", line)
    return f"installing {match[1].count(',') + 1} packages, which takes a minute or two" if match else None


def explain_failure(output: str, log: Path) -> str:
    """Returns one sentence for pip's failure."""
    if NO_NETWORK.search(output):
        return (
            "the package index cannot be reached: connect this machine to the network, or set pip's proxy "
            "or package index, and run the command again"
        )
    errors = re.findall(r"^\s*(?:ERROR|error): (.+)", output, re.MULTILINE) or ["no reason given"]
    return f"pip could not install the dependencies ({errors[0]}): see its output in {log}"


def install(venv: Path, requirements: list[str], stamp: Path, progress: Progress) -> None:
    """Installs the checkout, editable, with its extras; the stamp is UNFINISHED if interrupted."""
    python = str(venv / "bin" / "python")
    # Python compiles the modules that are used at their first import.
    options = ["--progress-bar", "off", "--no-compile"]
    command = [python, "-m", "pip", "install", *options, *requirements]
    output = []
    with Popen(command, env=environment(), stdout=PIPE, stderr=STDOUT, text=True) as pip:
        for line in pip.stdout or ():
            output.append(line)
            progress.doing = activity(line) or progress.doing
            if line.startswith("Installing collected packages"):
                stamp.write_text(UNFINISHED)
    log = venv / "pip.log"
    log.write_text("".join(output))
    if pip.returncode:
        raise SetupError(explain_failure("".join(output), log))


def is_usable(venv: Path, state: str) -> bool:
    """Returns whether an existing environment can be completed; otherwise it is created anew."""
    settings = venv / "pyvenv.cfg"
    if state == UNFINISHED or not settings.is_file():
        return False
    same_python = (venv / "lib" / "python{}.{}".format(*sys.version_info[:2])).is_dir()
    sees_system = re.search(r"^include-system-site-packages = true", settings.read_text(), re.MULTILINE)
    runs = (venv / "bin" / "python").exists()
    return runs and same_python and bool(sees_system) == (ros_distro() is not None)


def create(venv: Path) -> None:
    """Creates an empty environment, in place of an existing one."""
    if venv.exists() and any(venv.iterdir()) and not (venv / "pyvenv.cfg").is_file():
        raise SetupError(
            f"{venv} is a folder but no virtual environment: name another folder with `make VENV=...`"
        )
    command = [sys.executable, "-m", "venv", "--clear", str(venv)]
    if ros_distro() is not None:
        command.append("--system-site-packages")
    result = subprocess.run(command, env=environment(), capture_output=True, text=True)
    if result.returncode:
        reason = (result.stderr or result.stdout).strip().splitlines()[-1]
        raise SetupError(
            f"no virtual environment can be created in {venv} ({reason}): name another folder with "
            "`make VENV=...`"
        )
    # Today's pip installs in half the time of the one that comes with Python, which does where it must.
    pip = [str(venv / "bin" / "python"), "-m", "pip", "install", "--quiet", "--retries", "0", "--upgrade"]
    subprocess.run([*pip, "pip"], env=environment(), capture_output=True)


def set_up(venv: Path, tier: str = FULL) -> None:
    """Creates or completes the environment in the folder `venv`; does nothing if it is complete.

    A full environment serves the light tier as well, and stays full.

    Raises:
        SetupError: a requirement is missing that the user has to install.
    """
    stamp = venv / "scene_geo_loc.setup"
    digest = digest_of_inputs(venv)
    state = stamp.read_text() if stamp.is_file() else ""
    if state.startswith(FULL):
        tier = FULL
    if state == f"{tier} {digest}":
        return
    check_python(sys.version_info[:2])
    check_system()
    wheels = ros_distro() is None
    if not wheels:
        check_ros()
    source = "ROS 2 from wheels" if wheels else f"ROS 2 {ros_distro()} of this machine"
    print(
        f"setting up {venv} with Python {platform.python_version()} and {source}; "
        f"{SIZES[tier]} the first time",
        flush=True,
    )
    with Progress() as progress:
        if not is_usable(venv, state):
            progress.doing = "creating the virtual environment"
            create(venv)
        extras = EXTRAS[tier] + (",ros-wheels" if wheels else "")
        requirements = [] if wheels else requirements_of_ros()
        install(venv, [*requirements, "--editable", f"{CHECKOUT}[{extras}]"], stamp, progress)
        stamp.unlink()
        python = str(venv / "bin" / "python")
        if wheels and missing_modules(python, ("tf2_msgs",)):
            progress.doing = "generating tf2_msgs"
            command = [python, str(CHECKOUT / "scripts" / "generate_tf2_msgs.py")]
            result = subprocess.run(command, env=environment(), capture_output=True, text=True)
            if result.returncode:
                raise SetupError(result.stderr.strip().replace("error: ", "", 1))
    finished = stamp.with_suffix(".new")
    finished.write_text(f"{tier} {digest}")
    finished.replace(stamp)
    print(f"set up in {progress.elapsed_s():.0f} s", flush=True)


def main() -> int:
    """Runs the setup; returns the exit status."""
    parser = argparse.ArgumentParser(description="Sets up the virtual environment of the package.")
    parser.add_argument("venv", nargs="?", type=os.path.abspath, default=CHECKOUT / ".venv")
    parser.add_argument("tier", nargs="?", choices=[LIGHT, FULL], default=FULL)
    arguments = parser.parse_args()
    # Two setups at once take turns: the second finds the environment complete.
    lock = os.open(str(CHECKOUT), os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        set_up(Path(arguments.venv), arguments.tier)
    except SetupError as error:
        print(f"error: {error}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ninterrupted: the next run continues the setup.", file=sys.stderr)
        return 130
    finally:
        os.close(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main())
