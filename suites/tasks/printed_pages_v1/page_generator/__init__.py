"""Draws the pages of printed_pages_v1."""
