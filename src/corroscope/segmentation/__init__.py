"""Segmentation: from a frame to a table of particles, by a bundle and an engine."""
