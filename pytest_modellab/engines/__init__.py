"""What runs a model: language models, encoders and searches, one file an engine."""
