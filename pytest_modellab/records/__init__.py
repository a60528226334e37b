"""What crosses from one stage to the next: frozen records of built-in types."""
