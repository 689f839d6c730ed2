"""Checks of ERNIE-ViL 2.0's cases, a file for each kind."""
