"""Lossless WebP, PNG and JPEG XL in the container, for images that they code in fewer bytes."""
