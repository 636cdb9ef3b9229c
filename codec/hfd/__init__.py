"""Lossy coding with a wavelet transform, and networks that restore and draw detail."""
