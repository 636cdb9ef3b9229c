"""Progressive lossy coding by reverse channel coding with a diffusion model."""
