"""Houses: their architecture, geometry and painted façades."""
