"""Options of commands that localize, generated from the settings of the localizer."""

from __future__ import annotations

from typing import Annotated

from scene_geo_loc.cli.options.settings import setting
from scene_geo_loc.localization.estimate import LocalizerSettings

DEFAULTS = LocalizerSettings()
SecondLookShare = Annotated[float, setting(LocalizerSettings, "second_look_share", "--second-look-share")]
SequenceImages = Annotated[int, setting(LocalizerSettings, "sequence_images", "--sequence-images")]
