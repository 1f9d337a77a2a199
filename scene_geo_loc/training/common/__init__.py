"""Common parts of all trainings: run folders, configuration, losses, augmentation."""
