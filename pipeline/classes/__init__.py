"""Class tables from the files that people have."""
