"""Accepted runs: what a candidate is compared with."""
