"""The studio: a local page to annotate, to review proposals and to look at results."""
