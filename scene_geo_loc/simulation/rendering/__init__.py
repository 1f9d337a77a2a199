"""Rendering: ray casting, shading and the camera's image formation."""
