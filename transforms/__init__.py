"""The part of maskbeam that computes: pure numpy functions and the PTransforms that wire them."""
