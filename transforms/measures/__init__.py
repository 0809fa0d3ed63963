"""What is counted of labels, and what follows from it."""
