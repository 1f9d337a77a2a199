"""Common parts of the nodes: parameters, messages, transforms, diagnostics."""
