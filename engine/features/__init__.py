"""Embeddings of images and what they give."""
