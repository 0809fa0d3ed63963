"""Checks, counts and reports of workers."""
