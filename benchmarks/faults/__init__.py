"""Seeded faults of every kind in a language model, to measure what the observatory says of them."""
