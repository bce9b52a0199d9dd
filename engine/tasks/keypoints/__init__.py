"""The task keypoints: points on each object."""
