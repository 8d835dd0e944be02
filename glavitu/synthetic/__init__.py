"""Synthetic worlds of glaciers from a seed."""
