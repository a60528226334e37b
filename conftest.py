"""Options for this repository only."""

pytest_plugins = ["pytester"]
