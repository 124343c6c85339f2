"""Scores -> LaTeX and CSV tables."""
