"""Fixtures of the notebook tests."""

from shells import connected, shell

__all__ = ["connected", "shell"]
