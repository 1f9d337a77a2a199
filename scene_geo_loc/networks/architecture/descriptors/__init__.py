"""Descriptor systems: an image to its global descriptor, alone or with the inferred depth."""

from __future__ import annotations

from scene_geo_loc.networks.architecture.descriptors.base import Description, DescriptorSystem, SystemParts
from scene_geo_loc.networks.architecture.descriptors.fusion import FUSIONS
from scene_geo_loc.networks.architecture.descriptors.hallucination import Hallucination
from scene_geo_loc.networks.architecture.descriptors.rgb import RGB, RGBDepth
from scene_geo_loc.networks.architecture.descriptors.rgbtd import RGBPlus, RGBtD

__all__ = ["DESCRIPTORS", "FUSIONS", "Description", "DescriptorSystem", "SystemParts"]

DESCRIPTORS: dict[str, type[DescriptorSystem]] = {
    system.name: system for system in (RGB, RGBDepth, RGBPlus, RGBtD, Hallucination)
}
"""The descriptor systems by their names in configs, in the order of tables."""
