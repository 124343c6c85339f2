"""Scores -> LaTeX and CSV tables; training metrics -> figures."""
