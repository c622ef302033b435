"""Report: pictures of what came out."""
