"""Places of a city: areas, scenarios and triplets of the ICRA 2019 dataset protocol."""
