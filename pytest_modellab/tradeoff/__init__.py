"""The trade-off between variants: every figure with its uncertainty, and what to choose."""
