"""Jinja templates of others, rendered within limits that no clock decides."""
