"""The node that localizes a camera's images in a reference map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import SetParametersResult

from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.ros.common import parameters
from scene_geo_loc.ros.common.managed_node import ManagedNode
from scene_geo_loc.ros.common.running import autostart, run, spin
from scene_geo_loc.ros.common.settings import LocalizationNodeSettings
from scene_geo_loc.ros.localization.pipeline import LocalizationPipeline

if TYPE_CHECKING:
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.mapping.reference_map import ReferenceMap


def open_localizer(settings: LocalizationNodeSettings) -> tuple[Localizer, ReferenceMap]:
    """Returns the localizer and its map. Raises SceneGeoLocError."""
    from scene_geo_loc.localization.localizer import Localizer
    from scene_geo_loc.mapping.map_info import READ_WHOLE
    from scene_geo_loc.mapping.reference_map import ReferenceMap

    if not settings.map:
        raise SceneGeoLocError("No map is given; set the parameter `map` to the folder of a reference map.")
    # The large files are verified while the node localizes, see `MapCheck`.
    reference_map = ReferenceMap.open(Path(settings.map), verified=READ_WHOLE)
    return Localizer(reference_map, settings.localizer, settings.device), reference_map


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
        make_localizer: Callable[[LocalizationNodeSettings], tuple[Localizer, ReferenceMap]] = open_localizer,
        **node_arguments: Any,
    ) -> None:
        super().__init__("localization_node", **node_arguments)
        parameters.declare(self, LocalizationNodeSettings)
        self.settings = parameters.read(self, LocalizationNodeSettings)
        self.pipeline: LocalizationPipeline | None = None
        self._make_localizer = make_localizer
        self.add_on_set_parameters_callback(self._on_parameters)

    def configure(self) -> None:
        """Opens the map and prepares everything but the camera. Raises SceneGeoLocError."""
        localizer, reference_map = self._make_localizer(self.settings)
        self.while_configured.callback(self._close_map)
        self.pipeline = LocalizationPipeline(self, lambda: self.settings, localizer, reference_map)
        self.get_logger().info(
            f"{reference_map.path}: {len(reference_map)} keyframes; "
            f"poses are in the frame {self.pipeline.map_frame}."
        )

    def activate(self) -> None:
        """Subscribes to the camera and localizes its images from now on."""
        assert self.pipeline is not None
        self.pipeline.activate()

    def _close_map(self) -> None:
        self.pipeline = None

    def _on_parameters(self, changed: list[Any]) -> SetParametersResult:
        """Takes over live parameters; all others are read-only."""
        live = {p.name for p in parameters.parameters_of(LocalizationNodeSettings) if p.live}
        values = {parameter.name: parameter.value for parameter in changed if parameter.name in live}
        try:
            self.settings = parameters.from_values(
                LocalizationNodeSettings, parameters.values_of(self.settings) | values
            )
        except SceneGeoLocError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def main(args: list[str] | None = None) -> int:
    """The console script localization_node."""
    return run(LocalizationNode, _serve, args)


def _serve(node: LocalizationNode) -> int:
    return spin(node, (lambda: autostart(node)) if node.settings.autostart else None)
