"""Theorems one can run: statements, their worlds, and the controls that show the checks can fail."""
