"""Heldout: a market where you pay for a model only if it works on data nobody could have trained on."""

__version__ = "0.1.0"
