"""Views of a map and of its answers for RViz and Foxglove: what the node publishes and a recording holds."""
