"""Patches of frames, picked for a dataset or skipped."""
