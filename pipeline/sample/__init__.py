"""The sample that the demo runs on: drawn scenes, and a model that was trained on such scenes."""
