"""The facts of a run, resolved and checked before work starts."""
