"""How `unroll` runs a cell: padding and segments, the fused loop, its backward pass."""
