"""Measurements behind the figures of the README; each is run as a module."""
