"""Measurements of the package itself."""
