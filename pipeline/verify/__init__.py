"""A finished output held against its own records."""
