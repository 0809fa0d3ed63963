"""Guards of calls that may hang or crash."""
