"""How others write masks down; one module a format, each with `write` and `read`."""
