"""What graded evidence is worth: blocks, false blocks, what it costs, on real runs."""
