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

"""The argument and options of every command that takes a source of frames, declared once."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_type_hints

import typer

from scene_geo_loc.cli.options.settings import Command, in_place_of
from scene_geo_loc.core.errors import SceneGeoLocError
from scene_geo_loc.traversals.formats import FORMATS, OPTIONS, Content, ImageFrame, SourceOptions

if TYPE_CHECKING:
    from scene_geo_loc.traversals.frame import Traversal

_PANEL = "Source"


Format = Annotated[
    str | None,
    typer.Option(
        help=f"Format of the source, if it is not recognised: {', '.join(FORMATS)}.",
        rich_help_panel=_PANEL,
    ),
]
Poses = Annotated[
    str | None,
    typer.Option(
        help="Source of the poses. Bag: a topic, /tf, a TUM file with poses of the camera's optical frame, "
        "or none. Default: what moves with the camera (docs/bags.md). Dataset with several sources of poses: "
        "one of them (docs/datasets).",
        rich_help_panel=_PANEL,
    ),
]


@dataclass(frozen=True)
class Source:
    """A source of frames as the user names it: its path and the part to use."""

    path: Annotated[
        Path,
        typer.Argument(
            metavar="SOURCE", help="Bag (.bag, .mcap, .db3, or a rosbag2 folder) or folder of a dataset."
        ),
    ]
    format: Format = None
    poses: Poses = None
    pose_frame: Annotated[
        str | None,
        typer.Option(
            help="Bag: frame whose poses --poses has. Default: as the bag says, else the vehicle's frame.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    camera: Annotated[
        list[str] | None,
        typer.Option(
            help="Camera, if there are several: the image topic of a bag, or its name in the dataset "
            "(docs/datasets). May be repeated for `map build` and `convert`.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    points: Annotated[
        str | None,
        typer.Option(help="Bag: topic of the lidar. Default: the best one.", rich_help_panel=_PANEL),
    ] = None
    depth_topic: Annotated[
        str | None,
        typer.Option(
            help="Bag: topic of the depth images. Default: those in the images' frame.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    run: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Bag: number of the run, where the clock jumps back. Default: the longest.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    camera_info: Annotated[
        str | None,
        typer.Option(
            help="Bag: topic of the intrinsics, or a calibration file of ROS, Kalibr, OpenCV or COLMAP. "
            "Default: the topic beside the images.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    readout_time: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Bag: time from the exposure of an image's first row to that of its last, of a rolling "
            "shutter; its motion is taken from odometry. Default: as the calibration file says, else 0.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    image_frame: Annotated[
        ImageFrame | None,
        typer.Option(
            help="Bag: axes of the images' frame, optical (z forward) or body (x forward). Default: told by "
            "the transforms and the motion (docs/bags.md).",
            rich_help_panel=_PANEL,
        ),
    ] = None
    bits: Annotated[
        int | None,
        typer.Option(
            min=8,
            max=16,
            help="Bag: bits in use of images with 16 bits. Default: told from the values.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    split: Annotated[
        str | None,
        typer.Option(
            help="train or test, if the dataset has splits. Default: all frames.", rich_help_panel=_PANEL
        ),
    ] = None
    views: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=360,
            help="Panoramas: number of views around. Default: as many as overlap by a third, at least 8.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    view_camera: Annotated[
        str | None,
        typer.Option(
            help="Panoramas: camera of the views, best that of the vehicle: WIDTHxHEIGHT@FOV with the "
            "horizontal field of view in degrees, or a calibration file. Default: 640x480@57.6.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    view_pitch: Annotated[
        float | None,
        typer.Option(
            min=-90,
            max=90,
            help="Panoramas: degrees by which the views look up. Default: 0.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    virtual_views: Annotated[
        str | None,
        typer.Option(
            metavar="METRES",
            help="Panoramas with depth: distance in metres of virtual views ahead and behind, or several, "
            "such as 2,4. Default: none.",
            rich_help_panel=_PANEL,
        ),
    ] = None
    every: Annotated[int, typer.Option(min=1, help="Use every n-th frame.", rich_help_panel=_PANEL)] = 1
    offset: Annotated[int, typer.Option(min=0, help="Skip the first n frames.", rich_help_panel=_PANEL)] = 0
    start: Annotated[
        float | None,
        typer.Option(help="Use frames from this many seconds after the first one.", rich_help_panel=_PANEL),
    ] = None
    end: Annotated[
        float | None,
        typer.Option(help="Use frames until this many seconds after the first one.", rich_help_panel=_PANEL),
    ] = None

    def open(self, needs: Content | None = None) -> Traversal:
        """Opens the traversal of one camera. Raises TraversalError.

        Args:
            needs: data that the command requires.
        """
        from scene_geo_loc.core.errors import TraversalError

        if len(self._cameras) > 1:
            raise TraversalError(
                f"{self.path}: {len(self._cameras)} cameras are named, but this command uses one: "
                f"give one --camera."
            )
        return self._shown(self._of_camera(self._cameras[0], needs))

    def open_cameras(self) -> Traversal:
        """Opens the traversal of one camera, or of all named cameras as a rig. Raises TraversalError."""
        from scene_geo_loc.traversals.rig import one_or_rig

        return self._shown(one_or_rig([self._of_camera(camera) for camera in self._cameras]))

    def _shown(self, traversal: Traversal) -> Traversal:
        """Prints what is taken from the source."""
        from scene_geo_loc.cli.results.sources import print_sources
        from scene_geo_loc.traversals.sources import sources_of

        print_sources(traversal.name, sources_of(traversal))
        return traversal

    @property
    def _cameras(self) -> Sequence[str | None]:
        return self.camera or (None,)

    def _of_camera(self, camera: str | None, needs: Content | None = None) -> Traversal:
        from scene_geo_loc.core.errors import UnclearPoses
        from scene_geo_loc.traversals.opening import open_traversal

        options = {option: getattr(self, option) for option in OPTIONS}
        try:
            return open_traversal(
                self.path,
                self.format,
                every=self.every,
                offset=self.offset,
                start=self.start,
                end=self.end,
                needs=needs,
                **cast(SourceOptions, {**options, "camera": camera}),
            )
        except UnclearPoses as error:
            raise UnclearPoses(f"{str(error).rstrip('.')} (--poses).") from error


@dataclass(frozen=True)
class SourcesAndOutput:
    """Sources of frames, of which the same part is used, and what is made of them."""

    sources: Sequence[Source]
    out: Path


def takes_source(command: Command) -> Command:
    """Gives a command the argument SOURCE and its options in place of its parameter of type `Source`."""
    parameters = _parameters("source", get_type_hints(Source, include_extras=True)["path"])
    return in_place_of(
        command,
        _name_of(command, Source),
        parameters,
        lambda values: Source(path=values.pop("source"), **values),
    )


def takes_sources(command: Command) -> Command:
    """Gives a command the arguments SOURCE... OUT and the options of sources, see `takes_source`.

    They are in place of its parameter of type `SourcesAndOutput`.
    """

    def given(values: dict[str, Any]) -> SourcesAndOutput:
        *paths, out = values.pop("sources")
        if not paths:
            raise SceneGeoLocError(
                f"Only {out} is named: name the source or sources, then the folder of the map."
            )
        return SourcesAndOutput([Source(path=path, **values) for path in paths], out)

    arguments = Annotated[
        list[Path],
        typer.Argument(
            metavar="SOURCE... OUT",
            help="Bags (.bag, .mcap, .db3, or a rosbag2 folder) or folders of a dataset, then the folder of "
            "the new map.",
        ),
    ]
    return in_place_of(command, _name_of(command, SourcesAndOutput), _parameters("sources", arguments), given)


def _name_of(command: Command, kind: type) -> str:
    """Returns the name of a command's parameter of a type."""
    return next(name for name, hint in get_type_hints(command).items() if hint is kind)


def _parameters(argument: str, annotation: Any) -> list[inspect.Parameter]:
    """Returns the parameters of an argument for the path or paths, and of the options of `Source`."""
    hints = get_type_hints(Source, include_extras=True)
    del hints["path"]
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(argument, kind, annotation=annotation),
        *(
            inspect.Parameter(field, kind, annotation=hint, default=getattr(Source, field))
            for field, hint in hints.items()
        ),
    ]
