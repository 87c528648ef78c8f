"""Runs side by side; `python -m experiments.compare --help`."""
