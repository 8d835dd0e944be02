"""Pixels of files on one grid, without a model."""
