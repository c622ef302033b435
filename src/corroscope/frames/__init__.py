"""Frames: read them, and bring them to one scale."""
