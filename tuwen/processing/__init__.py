"""Text and pictures in, tensors out."""
