"""The `benchmark` commands: tables of recall and pose errors beside the papers'."""
