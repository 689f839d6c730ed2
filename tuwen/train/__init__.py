"""Recipes, the loop, optimizers and schedules, saved states."""
