"""Engines, which run models."""
