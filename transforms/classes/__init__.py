"""Ids, names and colours of classes."""
