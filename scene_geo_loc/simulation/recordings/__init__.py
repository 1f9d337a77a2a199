"""Simulated drives, recorded as rosbag2 or in the layout of the Oxford RobotCar dataset."""
