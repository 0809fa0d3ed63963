"""Keras layers traced with less work for a CPU."""
