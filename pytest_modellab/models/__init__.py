"""Where a model's files are."""
