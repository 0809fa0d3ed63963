"""What workers check, count and report."""
