"""This process: its streams, its memory, its end."""
