"""One file per format on disk: what is read, and what is written for others to read."""
