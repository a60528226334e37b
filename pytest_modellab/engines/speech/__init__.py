"""Engines that write down what is said: Whisper by CTranslate2, and transformers' speech models."""
