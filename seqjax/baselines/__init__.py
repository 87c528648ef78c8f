"""Baselines that the networks are measured against."""
