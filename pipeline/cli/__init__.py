"""The command line: flags in, typed options out, and back."""
