"""What the tests ask of the gate, read from their text; nothing of them is run."""
