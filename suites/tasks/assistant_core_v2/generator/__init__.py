"""One module a capability; each has `samples(rng)`, which returns its 66 samples."""
