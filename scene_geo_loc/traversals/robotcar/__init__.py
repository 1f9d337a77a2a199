"""Reader of the Oxford RobotCar dataset."""
