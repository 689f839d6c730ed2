"""The originals' own evaluation scripts, file for file: the same results, lines and messages from the same input."""
