"""Lossless coding with autoregressive diffusion models, in lattice or random order."""
