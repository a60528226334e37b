"""What is done to a loaded base: adapters, dropped layers."""
