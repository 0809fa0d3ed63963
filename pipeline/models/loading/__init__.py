"""Models brought into memory."""
