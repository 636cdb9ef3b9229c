"""Lossless: JPEG files that are kept as files, every byte of them."""
