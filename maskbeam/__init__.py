"""Batch semantic segmentation with Keras models on Apache Beam."""

#: The only place that says it: the installed package, `--version`, reports and workers take it from here.
__version__ = "0.1.0"
