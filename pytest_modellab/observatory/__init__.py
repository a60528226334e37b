"""What moved inside a model: which part is damaged, proved by putting the base's part back."""
