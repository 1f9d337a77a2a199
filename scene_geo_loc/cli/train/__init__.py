"""The `train` commands: descriptors, depth, encoders and whole scenes."""
