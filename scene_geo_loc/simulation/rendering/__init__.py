"""Ray casting, light and the photographic process."""
