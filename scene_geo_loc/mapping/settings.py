"""How a map is built: settings that the command line and the node offer alike."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Lidar = Literal["auto", "spinning", "pushbroom"]
DepthSource = Literal["measured", "auto", "learned"]
MatcherName = Literal["encoder", "sift", "xfeat"]
MATCHERS: tuple[MatcherName, ...] = get_args(MatcherName)


class BuilderSettings(BaseModel):
    """How a map is built."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keyframe_distance_m: float = Field(default=1.0, ge=0, description="way between keyframes, m")
    keyframe_angle_deg: float = Field(
        default=10.0, ge=0, le=180, description="turn between keyframes, degrees"
    )
    depth: DepthSource = Field(
        default="measured",
        description="where depth is from; measured: the sensor, else the lidar; auto: else the images, what "
        "the network infers and neighbouring keyframes show; learned: the images alone",
    )
    lidar: Lidar = Field(
        default="auto",
        description="how the lidar sweeps, which decides which scans an image gets; auto: as its scans look",
    )
    matcher: MatcherName = Field(
        default="encoder",
        description="local features that queries are matched by: encoder, the network's own; sift; xfeat",
    )
