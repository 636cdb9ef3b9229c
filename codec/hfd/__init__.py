"""Lossy coding with an autoencoder, and a score-based decoder that restores plausible detail."""
