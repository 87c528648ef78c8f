"""Runs of one command over a grid of settings."""
