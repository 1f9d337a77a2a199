"""What all trainings share: run folders, configuration, losses, augmentation."""
