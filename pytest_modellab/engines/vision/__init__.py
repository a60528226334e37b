"""Language models that look at images."""
