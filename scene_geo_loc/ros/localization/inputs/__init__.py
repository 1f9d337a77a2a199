"""Inputs of the localization node besides its first camera: the rig, transforms and initial poses."""
