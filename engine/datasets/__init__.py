"""Images and labels: import, splits, versions, preprocessing."""
