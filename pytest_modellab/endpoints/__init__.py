"""Servers behind an HTTP address: where they are, how they are asked, and what they reply."""
