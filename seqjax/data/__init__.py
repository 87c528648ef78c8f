"""Data on the host: NumPy only, never jax."""
