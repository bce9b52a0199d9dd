"""Prediction by a warm process of its own, and the torch-free client that talks to it."""
