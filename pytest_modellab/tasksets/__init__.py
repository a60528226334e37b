"""Task formats, one file each."""
