"""One step of the fused loop, run by a Plan in four ways: `PlannedStep`.

A step is never rewritten. Each method runs the cell's own step, with another function
in place of its products, and XLA removes what the result does not need.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from seqjax.engine import buffers, tracing
from seqjax.nn.layers import matmul

Leaves: TypeAlias = list[jax.Array]
ByProduct: TypeAlias = dict[int, jax.Array]


class PlannedStep(NamedTuple):
    """A flat step with its Plan; params, state and x are lists of leaves."""

    run: tracing.FlatStep
    plan: tracing.Plan
    gate_size: int | None

    def weights(self, params: Leaves, xs: Leaves, state: Leaves) -> ByProduct:
        """The right operands of the products. XLA removes the rest of this step."""
        ws = {}

        def product(k: int, v: jax.Array, w: jax.Array) -> jax.Array:
            ws[k] = w
            return matmul(v, w)

        self.run(params, state, [x[0] for x in xs], product)
        return {k: ws[k] for k in self.plan.products}

    def products(
        self, params: Leaves, state: Leaves, x: Leaves, ws: ByProduct
    ) -> ByProduct:
        """The products of a step, plus biases. XLA removes what they do not need."""
        products: ByProduct = {}

        def product(k: int, v: jax.Array, w: jax.Array) -> jax.Array:
            if k not in ws:
                return matmul(v, w)
            biases = (params[i] for i, j in self.plan.biases.items() if j == k)
            products[k] = sum(biases, start=matmul(v, ws[k]))
            return products[k]

        self.run(self._without_biases(params), state, x, product)
        return products

    def values(
        self, params: Leaves, state: Leaves, x: Leaves, products: ByProduct
    ) -> tuple[Leaves, jax.Array]:
        """(new state, y) of a step whose products are known, plus biases."""
        new_state, y, _ = tracing.replay(
            self.run, self._without_biases(params), state, x, products
        )
        return new_state, y

    def vjp(
        self,
        params: Leaves,
        state: Leaves,
        x: Leaves,
        products: ByProduct,
        cotangents: tuple[Leaves, jax.Array],
        transposed: dict[int, Callable[[], jax.Array]],
    ) -> tuple[Leaves, Leaves, Leaves, ByProduct, ByProduct]:
        """Cotangents of plan.others, state, x and products, and the left operands.

        Args:
          params, state, x, products: as `values`.
          cotangents: of the float leaves of the new state, and of y.
          transposed: product -> () -> the transpose of its right operand.
        """
        leaves = (self._without_biases(params), state, x)
        float_state = tracing.float_indices(state)
        indices = (self.plan.others, float_state, tracing.float_indices(x))

        def run(
            others: Leaves, state: Leaves, x: Leaves, products: ByProduct
        ) -> tuple[tuple[Leaves, jax.Array], ByProduct]:
            params, state, x = map(replace_leaves, leaves, indices, (others, state, x))
            new_state, y, operands = tracing.replay(
                *(self.run, params, state, x, products),
                known=lambda k, v, p: _known_product(v, transposed[k](), p),
            )
            return ([new_state[i] for i in float_state], y), operands

        floats = (
            [some[i] for i in chosen]
            for some, chosen in zip(leaves, indices, strict=True)
        )
        _, pull, operands = jax.vjp(run, *floats, products, has_aux=True)
        return *pull(cotangents), operands

    def read_inputs(
        self, params: Leaves, xs: Leaves, t: jax.Array, materialize: bool = False
    ) -> Leaves:
        """xs[t], plus biases."""
        row = []
        for j, x in enumerate(xs):
            biases = [params[i] for i, k in self.plan.input_biases.items() if k == j]
            row.append(buffers.read(x, t, self.gate_size, biases, materialize))
        return row

    def _without_biases(self, params: Leaves) -> Leaves:
        """The parameters, with zeros for the biases that `products` and x include."""
        biases = (*self.plan.biases, *self.plan.input_biases)
        return replace_leaves(
            params, biases, [jnp.zeros_like(params[i]) for i in biases]
        )


@jax.custom_vjp
def _known_product(v: jax.Array, w_t: jax.Array, p: jax.Array) -> jax.Array:
    """p = v @ w_t.T, whose value is known. Its cotangent goes to v and to p."""
    return p


_known_product.defvjp(
    lambda v, w_t, p: (p, w_t), lambda w_t, dp: (matmul(dp, w_t), None, dp)
)


def replace_leaves(leaves: Sequence, indices: Iterable[int], values: Iterable) -> list:
    """A list of the leaves with other values at some indices."""
    leaves = list(leaves)
    for i, value in zip(indices, values, strict=True):
        leaves[i] = value
    return leaves
