"""pytest-modellab: the pytest plugin that tells whether an adapted language model may ship."""

__version__ = "0.1.0"
