"""Benchmarks beside peers: equality first, then interleaved medians."""
