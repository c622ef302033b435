"""The report of a run: what was found on one page, and the figures and their numbers as files."""
