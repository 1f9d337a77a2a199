"""How a map is built: settings that the command line and the node offer alike."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from scene_geo_loc.depth.window import SPINNING


class BuilderSettings(BaseModel):
    """How a map is built."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keyframe_distance_m: float = Field(default=1.0, ge=0, description="way between keyframes, m")
    keyframe_angle_deg: float = Field(
        default=10.0, ge=0, le=180, description="turn between keyframes, degrees"
    )
    lidar_before_s: float = Field(
        default=SPINNING.before_s, ge=0, description="lidar gathered from this long before an image, s"
    )
    lidar_after_s: float = Field(
        default=SPINNING.after_s, ge=0, description="lidar gathered until this long after an image, s"
    )
