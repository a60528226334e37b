"""The standing campaign: what attacks the package on purpose, within limits."""
