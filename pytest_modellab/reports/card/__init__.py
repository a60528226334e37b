"""The evaluation section of a model card."""
