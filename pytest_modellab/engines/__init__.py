"""Engines: what runs a model. One file each, behind :class:`pytest_modellab.records.Engine`."""
