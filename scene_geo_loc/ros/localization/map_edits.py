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

"""Services that change the open map, or make other maps of it, by the commands of `scene-geo-loc map`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String
from std_srvs.srv import Trigger

from scene_geo_loc.core.background_process import BackgroundProcess
from scene_geo_loc.core.errors import MapError, SceneGeoLocError
from scene_geo_loc.core.folder_lock import FolderLock
from scene_geo_loc.localization.statistics.statistics_file import has_statistics
from scene_geo_loc.mapping.map_info import MAP_JSON
from scene_geo_loc.ros.localization.map_changes import MapChange, MapChanges
from scene_geo_loc.ros.localization.outputs.statistics import statistics_file

if TYPE_CHECKING:
    from scene_geo_loc.ros.common.managed_node import ManagedNode
    from scene_geo_loc.ros.common.settings import EditSettings, LocalizationNodeSettings

COMMANDS_MODULE = "scene_geo_loc.cli.for_parent"
"""Module of the process that runs a command; it stands above the nodes and is never imported here."""


class Output(str, Enum):
    """Where the result of an operation goes; the value completes "set the parameter edit.output to ..."."""

    MAP = "the folder of a map, or to the empty string for a new version of the open one"
    NEW_MAP = "the folder of the new map"
    FOLDER = "a folder for the new maps"
    NONE = ""


class EditState(str, Enum):
    """How an edit stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Operation:
    """A command that a service runs.

    Attributes:
        name: of the command; the service is `~/<name>_map`.
        sources: least and largest number of maps or drives that it takes beside the open map.
        output: where its result goes.
        arguments: returns its arguments of the folder of the open map, of the settings and of the output.
    """

    name: str
    sources: tuple[int, int]
    output: Output
    arguments: Callable[[str, EditSettings, str], list[str]]


def _prune_arguments(reference_map: str, edit: EditSettings, out: str) -> list[str]:
    if (edit.keyframes is None) == (edit.megabytes is None):
        raise MapError("Set one of the parameters edit.keyframes and edit.megabytes to the budget.")
    budget = (
        ["--keyframes", str(edit.keyframes)]
        if edit.megabytes is None
        else ["--megabytes", str(edit.megabytes)]
    )
    return [*budget, "--", reference_map, out]


def _split_arguments(reference_map: str, edit: EditSettings, out: str) -> list[str]:
    tile = [] if edit.tile is None else ["--tile", str(edit.tile)]
    return [*tile, "--", reference_map, out]


CANCELLED = "What is complete stays; the open map is not changed."
MOST_SOURCES = 1000
OPERATIONS = (
    Operation("extend", (1, 1), Output.MAP, lambda own, edit, out: ["--", own, *edit.sources, out]),
    Operation("merge", (1, MOST_SOURCES), Output.MAP, lambda own, edit, out: ["--", own, *edit.sources, out]),
    Operation(
        "align", (1, 1), Output.NEW_MAP, lambda own, edit, out: ["--out", out, "--", *edit.sources, own]
    ),
    Operation("prune", (0, MOST_SOURCES), Output.MAP, _prune_arguments),
    Operation("split", (0, MOST_SOURCES), Output.FOLDER, _split_arguments),
    Operation("diff", (1, 1), Output.NONE, lambda own, edit, out: ["--", own, *edit.sources]),
)


@dataclass(frozen=True)
class Edit:
    """An operation with its arguments.

    Attributes:
        operation: the operation.
        out: folder of its result; None: it has none.
        is_new_version: whether that is the folder of the open map.
        command: arguments of `scene-geo-loc`.
    """

    operation: Operation
    out: Path | None
    is_new_version: bool
    command: list[str]

    @property
    def work(self) -> str:
        """Name of it, for messages."""
        return f"map {self.operation.name}"


def edit_of(operation: Operation, reference_map: Path, settings: LocalizationNodeSettings) -> Edit:
    """Returns the edit of the open map that the settings ask for. Raises MapError where they do not fit."""
    edit = settings.edit
    least, most = operation.sources
    if not least <= len(edit.sources) <= most:
        taken = "one drive or map" if most == 1 else "one or more maps"
        raise MapError(
            f"~/{operation.name}_map takes {taken}, and the parameter edit.sources names {len(edit.sources)}."
        )
    for source in edit.sources if least else ():
        if not Path(source).exists():
            raise MapError(f"There is nothing at {source}, which the parameter edit.sources names.")
    if operation.output in (Output.NEW_MAP, Output.FOLDER) and not edit.output:
        raise MapError(f"Set the parameter edit.output to {operation.output.value}.")
    out = None if operation.output is Output.NONE else Path(edit.output) if edit.output else reference_map
    is_new_version = out is not None and out.resolve() == reference_map.resolve()
    if is_new_version and operation.output is not Output.MAP:
        raise MapError(
            f"edit.output is the folder of the open map: set it to {operation.output.value}, another one."
        )
    options = list(edit.options)
    if is_new_version:
        options.append("--overwrite")
    statistics = statistics_file(settings.statistics_dir, reference_map)
    if operation.name == "prune" and statistics is not None and has_statistics(statistics):
        options += ["--statistics", str(statistics)]
    arguments = operation.arguments(str(reference_map), edit, "" if out is None else str(out))
    return Edit(operation, out, is_new_version, ["map", operation.name, *options, *arguments])


def summary_of(lines: Sequence[str]) -> str:
    """Returns what a command prints, on one line, without lists: headings, and indented lines below them."""
    return " ".join(line for line in lines if line and not line[0].isspace() and not line.endswith(":"))


class MapEdits:
    """Serves `~/extend_map` and the other operations; each is a process of the lowest priority.

    A request is answered at once; `localization/map_edit`, diagnostics and the log say how it ends.

    Args:
        node: the node.
        settings: returns the node's settings, of which `edit` are the arguments.
        changes: runs one change of the open map at a time.
    """

    def __init__(
        self, node: ManagedNode, settings: Callable[[], LocalizationNodeSettings], changes: MapChanges
    ) -> None:
        self._node, self._settings, self._changes = node, settings, changes
        self._process: BackgroundProcess | None = None
        self._edit: Edit | None = None
        self._is_cancelled = False
        self._state, self._sentence = "", ""
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._publisher = node.create_publisher(String, "localization/map_edit", latched)
        self._services = [
            node.create_service(Trigger, f"~/{operation.name}_map", self._callback_of(operation))
            for operation in OPERATIONS
        ]
        self._services.append(node.create_service(Trigger, "~/cancel_edit", self._on_cancel))

    @property
    def values(self) -> dict[str, object]:
        """Values of the diagnostics."""
        return {"map_edit": self._state, "map_edit_says": self._sentence}

    def _callback_of(
        self, operation: Operation
    ) -> Callable[[Trigger.Request, Trigger.Response], Trigger.Response]:
        def on_request(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            try:
                response.message = self._begin(operation)
                response.success = True
            except SceneGeoLocError as error:
                response.message, response.success = str(error), False
            return response

        return on_request

    def _begin(self, operation: Operation) -> str:
        """Begins an operation and returns the sentence on it. Raises SceneGeoLocError where it cannot."""
        if self._changes.refusal:
            raise MapError(self._changes.refusal)
        edit = edit_of(operation, self._changes.path, self._settings())
        held, lock = ExitStack(), None
        if edit.out is not None and operation.output is not Output.FOLDER:
            lock = held.enter_context(self._changes.locked(edit.out, edit.work))
        self._edit, self._is_cancelled, self._process = edit, False, None
        self._say(EditState.RUNNING, "")
        self._changes.begin(
            MapChange(edit.work, edit.is_new_version, lambda: self._run(edit, lock, held), self._on_end)
        )
        return f"{edit.work} has begun; localization/map_edit says how it ends."

    # In the thread of the change.

    def _run(self, edit: Edit, lock: FolderLock | None, held: ExitStack) -> bool:
        """Waits for the process; returns whether there is a new version of the open map."""
        before = _version_of(self._changes.path)
        with held:
            self._process = BackgroundProcess(
                COMMANDS_MODULE, {"arguments": edit.command}, lock, edit.work, self._on_line
            )
            if self._is_cancelled:  # before there was a process
                self._process.terminate()
            try:
                lines = self._process.result()["said"]
                self._node.get_logger().info("\n".join(lines))
                said = summary_of(lines)
            except SceneGeoLocError:
                if not edit.is_new_version or _version_of(self._changes.path) == before:
                    raise
                said = "The new version is complete, but the process ended before it said what is in it."
        self._sentence = said
        return edit.is_new_version and _version_of(self._changes.path) != before

    def _on_line(self, line: str) -> None:
        """Takes a line of progress."""
        self._sentence = line
        self._node.get_logger().info(line)

    # In the executor's thread.

    def _on_end(self, problem: str) -> None:
        self._process = None
        if not problem:
            self._say(EditState.DONE, self._sentence)
        elif self._is_cancelled:
            self._say(EditState.CANCELLED, CANCELLED)
        else:
            self._say(EditState.FAILED, problem)
            self._node.get_logger().error(f"{self._state}: {problem}")

    def _say(self, state: EditState, sentence: str) -> None:
        name = "" if self._edit is None else self._edit.work
        self._state, self._sentence = f"{name} {state.value}", sentence
        self._publisher.publish(String(data=f"{self._state}: {sentence}" if sentence else self._state))

    def _on_cancel(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._is_running
        response.message = "No edit of the map is running."
        if response.success:
            self._is_cancelled = True
            if self._process is not None:
                self._process.terminate()
            response.message = "The edit ends; localization/map_edit says when it has."
        return response

    @property
    def _is_running(self) -> bool:
        running = self._changes.running
        return running is not None and running.on_end == self._on_end

    def close(self) -> None:
        """Ends an edit that is running, and stops serving."""
        for service in self._services:
            self._node.destroy_service(service)
        if self._is_running:
            self._is_cancelled = True
            if self._process is not None:
                self._process.stop()
            self._changes.join()
            self._node.get_logger().warning(f"{self._state}, ended as the map is closed: {CANCELLED}")
        self._node.destroy_publisher(self._publisher)


def _version_of(folder: Path) -> tuple[int, int] | None:
    """Returns what differs between versions of a map's folder; None where there is no map."""
    try:
        found = (folder / MAP_JSON).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
