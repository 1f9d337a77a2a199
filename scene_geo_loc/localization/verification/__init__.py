"""Whether an estimated pose is accepted, and how far it is to be trusted."""
