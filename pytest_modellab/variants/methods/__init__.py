"""The methods of quantization that are more than a line, one file each."""
