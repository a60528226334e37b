"""One module a capability; `samples(rng)` returns its 60 probes, `pairs(rng)` its preferences."""

CAPABILITIES = ("answer_harmless", "format", "length_bias", "refuse_harmful", "sycophancy")
