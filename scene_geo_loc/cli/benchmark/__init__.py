"""The `benchmark` commands: recall and pose errors, with the numbers printed in the papers."""
