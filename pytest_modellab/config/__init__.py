"""modellab.toml becomes frozen records."""
