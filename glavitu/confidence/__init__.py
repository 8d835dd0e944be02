"""Confidence: its calibration, and how well it is calibrated."""
