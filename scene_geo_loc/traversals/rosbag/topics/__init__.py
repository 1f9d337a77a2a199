"""Topics of a recording by the sensor: how they are chosen, and in which frames they are."""
