"""What descriptors are trained on and compared with: places, areas, scenarios, triplets."""
