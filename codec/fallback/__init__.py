"""Lossless WebP and PNG inside the container, for images that they code in fewer bytes."""
