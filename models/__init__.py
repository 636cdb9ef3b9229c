"""Networks: diffusion, integer-exact layers, samplers, model files and the bundled weights."""
