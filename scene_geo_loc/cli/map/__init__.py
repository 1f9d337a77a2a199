"""The `map` commands: build reference maps and look into them."""
