"""Measurements of noisepress and other codecs, and their report."""
