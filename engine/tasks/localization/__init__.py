"""The task localization: one class and one box per image."""
