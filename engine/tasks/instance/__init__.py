"""The task instance: a class and an outline for each object."""
