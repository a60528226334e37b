"""Run records are compared: one file an assertion."""
