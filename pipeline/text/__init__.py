"""Numbers, CSV and JSON as people and programs read them."""
