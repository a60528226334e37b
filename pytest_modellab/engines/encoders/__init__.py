"""Engines that turn texts into vectors."""
