"""Logs and progress on a terminal."""
