"""From the image's grid to the model's and back."""
