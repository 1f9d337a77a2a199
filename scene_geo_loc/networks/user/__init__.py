"""A user's networks: an ONNX graph and the YAML file beside it that describes its inputs and outputs."""
