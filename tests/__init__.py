"""Tests, one module for each module of the product, and end-to-end tests."""
