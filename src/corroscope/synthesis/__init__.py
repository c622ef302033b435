"""Synthesis: images whose truth is known."""
