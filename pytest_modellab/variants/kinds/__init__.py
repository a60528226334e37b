"""The built-in kinds of variants, one file each."""
