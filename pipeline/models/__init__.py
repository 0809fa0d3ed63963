"""Model files: recognised, searched for code, loaded, probed and compiled."""
