"""What images in windows cost, and how well they join: `make bench-scenes`."""
