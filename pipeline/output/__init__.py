"""The output folder: claims that make masks checkpoints, writing, restarting, verifying."""
