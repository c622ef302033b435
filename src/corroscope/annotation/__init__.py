"""From a click to a mask, and where masks are kept."""
