"""The images that a person should look at first."""
