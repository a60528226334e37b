"""Engines that score options and generate replies."""
