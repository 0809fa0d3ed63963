"""How a model is fed and read, found out on a probe batch."""
