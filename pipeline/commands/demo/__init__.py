"""`maskbeam demo`: drawn scenes, and a model that was trained on such scenes."""
