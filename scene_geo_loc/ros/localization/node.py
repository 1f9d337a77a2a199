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

"""The node that localizes a camera's images in a reference map."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.ros.common import parameters
from scene_geo_loc.ros.common.managed_node import ManagedNode
from scene_geo_loc.ros.common.running import autostart, run, spin
from scene_geo_loc.ros.common.settings import LocalizationNodeSettings, bond_period_s
from scene_geo_loc.ros.localization.outputs.geo_publisher import check_datum
from scene_geo_loc.ros.localization.pipeline import LocalizationPipeline
from scene_geo_loc.ros.localization.services import nav2_service

if TYPE_CHECKING:
    from scene_geo_loc.localization.pose_localizer import PoseLocalizer
    from scene_geo_loc.mapping.reference_map import AnyMap


def open_map(settings: LocalizationNodeSettings) -> tuple[PoseLocalizer, AnyMap]:
    """Returns the localizer of the map and the map. Raises SceneGeoLocError."""
    from scene_geo_loc.localization.pose_localizer import open_localizer
    from scene_geo_loc.mapping.map_info import READ_WHOLE

    if not settings.map:
        raise SceneGeoLocError("No map is given; set the parameter `map` to the folder of a reference map.")
    # The large files are verified while the node localizes, see `MapCheck`.
    localizer = open_localizer(Path(settings.map), settings.localizer, settings.device, verified=READ_WHOLE)
    return localizer, localizer.map


class LocalizationNode(ManagedNode):
    """Parameters and lifecycle of localization_node; docs/nodes.md describes its interface.

    Args:
        make_localizer: opens the map and makes its localizer when the node is configured.

    Attributes:
        settings: the present values of the parameters.
        pipeline: from images to poses; None until the node is configured.
    """

    def __init__(
        self,
        make_localizer: Callable[[LocalizationNodeSettings], tuple[PoseLocalizer, AnyMap]] = open_map,
        **node_arguments: Any,
    ) -> None:
        super().__init__("localization_node", **node_arguments)
        parameters.declare(self, LocalizationNodeSettings)
        self.settings = parameters.read(self, LocalizationNodeSettings)
        self.bond_period_s = bond_period_s(self.settings)
        self.pipeline: LocalizationPipeline | None = None
        self._make_localizer = make_localizer
        self._while_open = ExitStack()
        self.add_on_set_parameters_callback(self._on_parameters)
        kind = nav2_service("LoadMap")
        # Not a resource of the open map: it opens one in any state.
        self._load_map_service = kind and self.create_service(kind, "~/load_map", self._on_load_map)

    def configure(self) -> None:
        """Opens the map and prepares everything but the camera. Raises SceneGeoLocError."""
        opened = self._make(self.settings)
        self.while_configured.callback(self._close_map)
        self._open(opened)

    def activate(self) -> None:
        """Subscribes to the camera and localizes its images from now on."""
        assert self.pipeline is not None
        self.pipeline.activate()

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Releases everything; only the lifecycle's own services stay."""
        if self._load_map_service is not None:
            self.destroy_service(self._load_map_service)
            self._load_map_service = None
        return super().on_shutdown(state)

    def _make(self, settings: LocalizationNodeSettings) -> tuple[PoseLocalizer, AnyMap]:
        """Returns a localizer and its map. Raises SceneGeoLocError where the parameters do not allow it."""
        localizer, reference_map = self._make_localizer(settings)
        check_datum(settings, reference_map)
        return localizer, reference_map

    def _open(self, opened: tuple[PoseLocalizer, AnyMap]) -> None:
        _, reference_map = opened
        self.pipeline = LocalizationPipeline(
            self, lambda: self.settings, *opened, self._while_open, lambda: self._make(self.settings)
        )
        self.get_logger().info(
            f"{reference_map.path}: {len(reference_map)} keyframes; "
            f"poses are in the frame {self.pipeline.map_frame}."
        )

    def _close_map(self) -> None:
        self._while_open.close()
        self.pipeline = None

    @property
    def _opened(self) -> tuple[PoseLocalizer, AnyMap] | None:
        """The open map with its localizer; its folder may have a newer version since it was opened."""
        return None if self.pipeline is None else self.pipeline.opened

    def load_map(self, settings: LocalizationNodeSettings) -> None:
        """Opens the map of some settings in place of the present one, in any state of the lifecycle.

        An unconfigured node only checks it, and opens it when it is configured.

        Raises SceneGeoLocError, with nothing changed, where it cannot be opened.
        """
        if self.is_finalized:
            raise SceneGeoLocError("The node is shut down: start it again to load a map.")
        opened = self._make(settings)
        before, self.settings = (self._opened, self.settings), settings
        if self.pipeline is None or before[0] is None:
            return
        is_active = self.pipeline.inputs is not None
        try:
            self._replace(opened, is_active)
        except Exception:
            self.settings = before[1]
            self._replace(before[0], is_active)
            raise

    def _replace(self, opened: tuple[PoseLocalizer, AnyMap], is_active: bool) -> None:
        """Closes the open map and opens another one, active or not."""
        self._close(self.while_active)
        if self.pipeline is not None and self.pipeline.extension is not None:
            self.pipeline.extension.builds_at_close = False  # it would keep the other map waiting
        self._close(self._while_open)
        self._open(opened)
        if is_active:
            self.activate()

    def _on_parameters(self, changed: list[Any]) -> SetParametersResult:
        """Takes over live parameters; all others are read-only."""
        live = {p.name for p in parameters.parameters_of(LocalizationNodeSettings) if p.live}
        values = {parameter.name: parameter.value for parameter in changed if parameter.name in live}
        try:
            settings = self._changed(values)
            if settings.map != self.settings.map:
                self.load_map(settings)
        except SceneGeoLocError as error:
            return SetParametersResult(successful=False, reason=str(error))
        except Exception as error:
            self.on_callback_error("Loading a map", error)
            return SetParametersResult(successful=False, reason=f"The map cannot be opened: {error!r}.")
        self.settings = settings
        return SetParametersResult(successful=True)

    def _changed(self, values: dict[str, Any]) -> LocalizationNodeSettings:
        """Returns the settings with some parameters changed. Raises SceneGeoLocError."""
        present = parameters.values_of(self.settings)
        return parameters.from_values(LocalizationNodeSettings, present | values)

    def _on_load_map(self, request: Any, response: Any) -> Any:
        """Loads a map as nav2's map server does: a folder, with or without file:// before it."""
        folder = request.map_url.removeprefix("file://")
        response.result = response.RESULT_SUCCESS
        try:
            self.load_map(self._changed({"map": folder}))
            self.set_parameters([Parameter("map", value=self.settings.map)])
        except SceneGeoLocError as error:
            self.get_logger().error(f"load_map: {error}")
            exists = Path(folder).exists()
            response.result = (
                response.RESULT_INVALID_MAP_DATA if exists else response.RESULT_MAP_DOES_NOT_EXIST
            )
        except Exception as error:
            response.result = response.RESULT_UNDEFINED_FAILURE
            self.on_callback_error("Loading a map", error)
        return response


def main(args: list[str] | None = None) -> int:
    """The console script localization_node."""
    return run(LocalizationNode, _serve, args)


def _serve(node: LocalizationNode) -> int:
    return spin(node, (lambda: autostart(node)) if node.settings.autostart else None)
