"""`maskbeam inspect`: a look at a model and at how it wants its input."""
