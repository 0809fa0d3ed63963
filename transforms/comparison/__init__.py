"""Label maps held against references: how well they agree, and what is confused with what."""
