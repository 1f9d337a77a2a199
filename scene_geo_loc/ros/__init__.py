"""The ROS 2 nodes: messages to and from the rest of the package, which does not depend on ROS."""

from scene_geo_loc.core.threads import use_cores_sparingly

use_cores_sparingly()
