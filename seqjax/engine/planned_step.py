"""One step of the fused loop, run by a Plan in four ways: `PlannedStep`.

A step is never rewritten. Each method runs the cell's own step, with another function
in place of its products, and XLA removes what the result does not need.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from seqjax.engine import buffers, tracing
from seqjax.engine.aligned import aligned_matmul
from seqjax.mesh_axes import vary_alike
from seqjax.nn.layers import matmul

Leaves: TypeAlias = list[jax.Array]
ByProduct: TypeAlias = dict[int, jax.Array]


class PlannedStep(NamedTuple):
    """A flat step with its Plan; params, state and x are lists of leaves."""

    run: tracing.FlatStep
    plan: tracing.Plan
    gate_size: int | None
    axis: int = 0  # of time, in buffers

    def weights(self, params: Leaves, xs: Leaves, state: Leaves) -> ByProduct:
        """The right operands of the products. XLA removes the rest of this step."""
        ws = {}

        def product(k: int, v: jax.Array, w: jax.Array) -> jax.Array:
            ws[k] = w
            return matmul(v, w)

        first = [buffers.first(x, self.axis) for x in xs]
        self.run(params, state, first, product)
        return {k: ws[k] for k in self.plan.products}

    def products(
        self, params: Leaves, state: Leaves, x: Leaves, ws: ByProduct
    ) -> ByProduct:
        """The products of a step, plus biases. XLA removes what they do not need.

        Args:
          params, state, x: of the step.
          ws: the right operands, whose first axis may be padded with zeros.
        """
        products: ByProduct = {}

        def product(k: int, v: jax.Array, w: jax.Array) -> jax.Array:
            if k not in ws:
                return matmul(v, w)
            biases = (params[i] for i, j in self.plan.biases.items() if j == k)
            products[k] = sum(biases, start=aligned_matmul(v, ws[k]))
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
        gates: dict[int, int] | None = None,
    ) -> tuple[Leaves, Leaves, Leaves, ByProduct, ByProduct]:
        """Cotangents of plan.others, state, x and products, and the left operands.

        Args:
          params, state, x, products: as `values`.
          cotangents: of the float leaves of the new state, and of y.
          transposed: product -> () -> the transpose of its right operand. The left
            operand of a product that is not there gets no cotangent from it.
          gates: product -> the number of its gates, if `transposed` is padded.
        """
        leaves = (self._without_biases(params), state, x)
        # Else jax would sum the cotangent of what does not vary, at every step.
        *leaves, products, cotangents = vary_alike(*leaves, products, cotangents)
        gates = gates or {}

        def known(k: int, v: jax.Array, p: jax.Array) -> jax.Array:
            if k not in transposed:
                return p
            return _known_product(gates.get(k, 1), v, transposed[k](), p)

        float_state = tracing.float_indices(state)
        indices = (self.plan.others, float_state, tracing.float_indices(x))

        def run(
            others: Leaves, state: Leaves, x: Leaves, products: ByProduct
        ) -> tuple[tuple[Leaves, jax.Array], ByProduct]:
            params, state, x = map(replace_leaves, leaves, indices, (others, state, x))
            new_state, y, operands = tracing.replay(
                self.run, params, state, x, products, known
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
            row.append(
                buffers.read(x, t, self.gate_size, biases, materialize, self.axis)
            )
        return row

    def _without_biases(self, params: Leaves) -> Leaves:
        """The parameters, with zeros for the biases that `products` and x include."""
        biases = (*self.plan.biases, *self.plan.input_biases)
        return replace_leaves(
            params, biases, [jnp.zeros_like(params[i]) for i in biases]
        )


class Loop(NamedTuple):
    """A step, and how it is run."""

    step: PlannedStep
    reverse: bool
    num_steps: int

    def time(self, i: jax.Array) -> jax.Array:
        """The index in time of the i-th step."""
        return self.num_steps - 1 - i if self.reverse else i


class Cotangents(NamedTuple):
    """What the backward pass of a loop returns."""

    state: Leaves  # of the float leaves of the initial state
    others: Leaves  # of plan.others
    xs: Leaves  # [T, ...]; integers as they were
    products: ByProduct  # [T, ...]
    operands: ByProduct  # [T, ...], the left operands of the products


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _known_product(gates: int, v: jax.Array, w_t: jax.Array, p: jax.Array) -> jax.Array:
    """p = v @ w_t.T, whose value is known. Its cotangent goes to v and to p."""
    return p


_known_product.defvjp(
    lambda gates, v, w_t, p: (p, w_t),
    lambda gates, w_t, dp: (aligned_matmul(dp, w_t, gates), None, dp),
)


def replace_leaves(leaves: Sequence, indices: Iterable[int], values: Iterable) -> list:
    """A list of the leaves with other values at some indices."""
    leaves = list(leaves)
    for i, value in zip(indices, values, strict=True):
        leaves[i] = value
    return leaves


def transposed_once(
    w: jax.Array, product: jax.ShapeDtypeStruct
) -> Callable[[], jax.Array]:
    """A function of no arguments for the loop to call: () -> w.T.

    w.T is laid out in memory before the loop, unless the product has a single row,
    which reads w faster as it is.
    """
    if product.size == product.shape[-1]:
        return lambda: w.T
    laid_out = lax.optimization_barrier(w.T)
    return lambda: laid_out
