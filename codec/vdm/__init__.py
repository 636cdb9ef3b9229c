"""Lossless coding by bits-back with a variational diffusion model."""
