"""Simulated drives, written as bags or in the layout of RobotCar."""
