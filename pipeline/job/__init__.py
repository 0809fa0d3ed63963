"""What a run is, resolved and checked before work starts."""
