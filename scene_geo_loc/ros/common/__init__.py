"""What the nodes share: parameters, messages, transforms, diagnostics."""
