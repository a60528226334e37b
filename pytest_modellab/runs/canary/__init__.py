"""A few requests that prove that a server means what it says, before it is scored."""
