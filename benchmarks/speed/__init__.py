"""How fast samples are scored and replies written, beside others on the same model."""
