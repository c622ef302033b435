"""`run`: the stages put together, from the frames of a sequence to the report on it."""
