"""Checks of Chinese-CLIP's cases, a file for each kind."""
