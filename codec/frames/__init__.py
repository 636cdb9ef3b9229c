"""Frames that follow each other, in lattice order, each with what the frames before tell."""
