"""Lossless context mixing for two-level pages, palette images, drawings and screenshots."""
