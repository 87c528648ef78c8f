"""What the commands share: settings, launching, run folders, the training loop."""
