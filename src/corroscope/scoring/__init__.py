"""Scoring: how well a prediction agrees with what an annotator drew."""
