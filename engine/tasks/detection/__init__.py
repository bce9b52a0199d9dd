"""The task detection: a class and a box for each object."""
