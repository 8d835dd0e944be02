"""Outlines: from pixels to polygons and back, and what is measured of them."""
