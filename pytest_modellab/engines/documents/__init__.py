"""Readers: images of documents in, their text out."""
