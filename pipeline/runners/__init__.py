"""Beam's runners: what each needs, and how each fails."""
