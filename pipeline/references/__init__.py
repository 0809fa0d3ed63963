"""References, which are label maps that ours are held against: where they lie, and how they are read."""
