"""Comparison of a finished output's masks with a reference: truth, or old labels."""
