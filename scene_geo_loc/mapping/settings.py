"""Settings of the map builder, which the command line and the node offer alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from scene_geo_loc.matchers import MATCHERS

Lidar = Literal["auto", "spinning", "pushbroom"]
DepthSource = Literal["measured", "auto", "learned"]
if TYPE_CHECKING:
    MatcherName = str
else:
    MatcherName = Literal[tuple(MATCHERS)]  # the choices of the command line and the node


class BuilderSettings(BaseModel):
    """Settings of `MapBuilder`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keyframe_distance_m: float = Field(default=1.0, ge=0, description="distance between keyframes, m")
    keyframe_angle_deg: float = Field(
        default=10.0, ge=0, le=180, description="angle between keyframes, degrees"
    )
    depth: DepthSource = Field(
        default="measured",
        description="source of depth; measured: sensor or lidar; auto: sensor or lidar, else the images "
        "(network and triangulation from neighbouring keyframes); learned: the images alone",
    )
    lidar: Lidar = Field(
        default="auto",
        description="how the lidar scans, which decides which scans an image gets; auto: as they look",
    )
    matcher: MatcherName = Field(
        default="encoder",
        description="local features that are matched: encoder (those of the network), sift or xfeat",
    )
