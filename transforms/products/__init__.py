"""Products: files that are drawn of labels."""
