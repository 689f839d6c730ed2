"""Checks of BriVL's cases, a file for each kind."""
