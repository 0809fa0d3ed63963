"""What is drawn of labels."""
