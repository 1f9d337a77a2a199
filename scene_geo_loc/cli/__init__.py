"""Command line: parses arguments, calls the library and shows its results."""

from scene_geo_loc.core.threads import use_cores_sparingly

use_cores_sparingly()
