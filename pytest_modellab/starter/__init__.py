"""`modellab init`: the suite that a project starts from, one file a kind."""
