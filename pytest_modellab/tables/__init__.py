"""Rows of named values, read from files of others: cells with a header, and JSON objects."""
