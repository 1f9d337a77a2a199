"""The simulated vehicle: motion and sensors."""
