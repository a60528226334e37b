"""What is computed once is kept, named by its content."""
