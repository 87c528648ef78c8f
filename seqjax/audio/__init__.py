"""Speech features computed in JAX."""
