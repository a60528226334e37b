"""What is said, how it sounds, and both together as samples."""
