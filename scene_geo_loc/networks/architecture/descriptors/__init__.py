"""Descriptor systems: how an image becomes a global descriptor, alone or with the inferred depth."""

from __future__ import annotations

from scene_geo_loc.networks.architecture.descriptors.base import Description, DescriptorSystem
from scene_geo_loc.networks.architecture.descriptors.fusion import FUSIONS
from scene_geo_loc.networks.architecture.descriptors.hallucination import Hallucination
from scene_geo_loc.networks.architecture.descriptors.rgb import RGB, RGBDepth
from scene_geo_loc.networks.architecture.descriptors.rgbtd import RGBPlus, RGBtD

__all__ = ["DESCRIPTORS", "FUSIONS", "Description", "DescriptorSystem"]

DESCRIPTORS: dict[str, type[DescriptorSystem]] = {
    system.name: system for system in (RGB, RGBDepth, RGBPlus, RGBtD, Hallucination)
}
"""The descriptor systems by the names that configs give them."""
