"""Bits: the container, headers, entropy models and coders, shared noise, reverse channel coding."""
