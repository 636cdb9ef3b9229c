"""Errors of the models."""


class ModelError(Exception):
    """A model is missing, differs from the one a file names, or is not a model file."""
