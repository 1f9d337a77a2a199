"""Procedural textures of surfaces."""
