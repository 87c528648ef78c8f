"""Models: pure init/apply functions over the cells and layers."""
