"""Batch semantic segmentation with Keras models on Apache Beam."""
