"""Checks of BridgeTower's cases, a file for each kind."""
