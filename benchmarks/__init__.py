"""What maskbeam costs, measured beside what a user would otherwise run: `make bench`."""
