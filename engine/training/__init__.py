"""The training loop and what it needs; knows no task by name."""
