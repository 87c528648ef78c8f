"""How `unroll` runs a cell: the fused loop and its backward pass."""
