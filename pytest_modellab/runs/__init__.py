"""What is measured of a model rather than of its answers."""
