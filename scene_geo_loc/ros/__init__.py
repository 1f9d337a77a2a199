"""The ROS 2 nodes: messages in and out of the core, which knows nothing of ROS."""
