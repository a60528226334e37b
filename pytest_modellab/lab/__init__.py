"""One session: the stages in order."""
