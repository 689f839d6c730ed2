"""Prove that a model gives the original's numbers: recorded stages, published sizes, known reference values."""
