"""What keeps a task set from showing a regression."""
