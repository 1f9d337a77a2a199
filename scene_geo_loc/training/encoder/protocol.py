"""How an encoder is taught: settings that the command line offers and a run folder tells."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from scene_geo_loc.training.common.precision import Precision


class EncoderProtocol(BaseModel):
    """How an encoder is taught."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=2000, ge=1, description="mini-batches to learn from")
    images: int = Field(default=32, ge=1, description="crops of a mini-batch")
    side: int = Field(default=160, ge=96, le=280, description="pixels of a crop's sides")
    learning_rate: float = Field(default=1e-3, gt=0, description="largest learning rate of Adam")
    warm_up: int = Field(default=50, ge=1, description="steps until it is reached; it falls as a cosine then")
    record_every: int = Field(
        default=50,
        ge=1,
        description="steps from one record of the log, and state to resume from, to the next",
    )
    precision: Precision = Field(
        default=Precision.BFLOAT16,
        description="of convolutions; bfloat16 pays where the processor has it",
    )
    seed: int = Field(default=0, ge=0, description="the same seed draws the same crops")
