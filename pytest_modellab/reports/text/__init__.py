"""Reports that are lines and tables."""
