"""The command line: what the user says, handed to the rooms below."""

from scene_geo_loc.core.threads import use_cores_sparingly

use_cores_sparingly()
