"""The task semantic: a class for each pixel."""
