"""What comes in: patterns become chunks, chunks become images that are not decoded yet."""
