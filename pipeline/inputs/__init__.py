"""The way in: patterns become chunks, chunks become images that are not decoded yet."""
