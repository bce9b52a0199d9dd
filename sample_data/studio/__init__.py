"""A small photo studio in numpy: height fields, materials, light and a camera."""
