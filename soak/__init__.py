"""Hours of bad luck, drawn from a seed: kills, mutated input, failing storage. `make soak` runs all of it."""
