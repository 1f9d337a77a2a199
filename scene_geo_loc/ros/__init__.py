"""The ROS 2 nodes: messages in and out of the core, which knows nothing of ROS."""

from scene_geo_loc.core.threads import use_cores_sparingly

use_cores_sparingly()
