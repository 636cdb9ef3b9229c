"""Training of the models: crops, losses, the loop, presets, export."""
