"""Counts of labels, and what follows from them."""
