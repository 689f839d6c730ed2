"""Checks of VLE's cases, a file for each kind."""
