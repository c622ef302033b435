"""Results of ``corroscope run``: started from the page, and looked at."""
