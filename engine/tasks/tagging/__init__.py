"""The task tagging: any number of tags per image."""
