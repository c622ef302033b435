"""The current of the cell: read, brought onto the camera's clock, set beside what was seen."""
