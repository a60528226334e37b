"""What decides, in the working tree and at a git ref: what became weaker, what stronger."""
