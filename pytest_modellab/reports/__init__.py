"""Reports: pure functions of frozen records. None of them computes a verdict or runs a model."""
