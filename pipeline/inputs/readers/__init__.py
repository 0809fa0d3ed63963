"""Readers of images that are too large to be decoded whole: opened once, and read region by region."""
