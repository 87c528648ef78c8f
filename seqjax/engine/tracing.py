"""Trace a step once to find how it uses its weights; `fused.scan` runs by this plan.

A step is flat here: step(params, state, x, product) -> (state, y), with lists of leaves
in place of pytrees. It calls product(k, v, w) for v @ w, where k counts the calls.
A leaf is identified by its index in its list, a product by k.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.extend.core
import jax.numpy as jnp

from seqjax.nn.layers import matmul

Leaf: TypeAlias = Any  # an array, or a jax.ShapeDtypeStruct
Jaxpr: TypeAlias = jax.extend.core.Jaxpr
Var: TypeAlias = Any  # jax.extend.core.Var, or a Literal
Product: TypeAlias = Callable[[int, jax.Array, jax.Array], jax.Array]
FlatStep: TypeAlias = Callable[..., tuple[list[jax.Array], jax.Array]]


class Plan(NamedTuple):
    """What `fused.scan` knows about a step."""

    # product -> its shape, for products by a matrix that is the same at every step
    products: dict[int, jax.ShapeDtypeStruct]
    operands: dict[int, jax.ShapeDtypeStruct]  # product -> shape of its left operand
    state_operands: dict[int, int]  # product -> state leaf that is its left operand
    inputs: dict[int, int]  # product -> leaf of x that is only ever added to it
    biases: dict[int, int]  # parameter -> product to which it is only ever added
    input_biases: dict[int, int]  # parameter -> leaf of x, likewise
    others: list[int]  # parameters with other uses that need a gradient
    constant: list[bool]  # for each state leaf: the step returns it unchanged
    output: int | None  # the state leaf that y is, if it is one
    y: jax.ShapeDtypeStruct


def is_supported(
    step: Callable[[Any, Any, Any], Any], params: Any, state: Any, x: Any
) -> bool:
    """Whether `fused.scan` can run step(params, state, x) -> (state, y).

    The step must keep the form of the state, return one array as y, and take whatever
    is differentiated or vmapped as an argument: a custom VJP has no gradient for
    values that a function closes over.
    """
    closed, results = jax.make_jaxpr(step, return_shape=True)(params, state, x)
    if any(isinstance(const, jax.core.Tracer) for const in closed.consts):
        return False
    new_state, y = results
    if not isinstance(y, jax.ShapeDtypeStruct):
        return False
    structures: list[Any] = [jax.tree.structure(s) for s in (state, new_state)]
    return structures[0] == structures[1] and all(
        (old.shape, old.dtype) == (new.shape, new.dtype)
        for old, new in zip(
            jax.tree.leaves(state), jax.tree.leaves(new_state), strict=True
        )
    )


def plan(step: FlatStep, params: list[Leaf], state: list[Leaf], x: list[Leaf]) -> Plan:
    """The Plan of a flat step, from the leaves of one time step or their shapes."""
    products = _products(step, params, state, x)
    closed, (new_state, y, operands) = jax.make_jaxpr(
        lambda *args: replay(step, *args), return_shape=True
    )(params, state, x, products)
    jaxpr = closed.jaxpr
    ins = _split(jaxpr.invars, params, state, x, products)
    in_params, in_state, in_x, in_products = ins
    out_state, (out_y,), out_operands = _split(jaxpr.outvars, new_state, y, operands)
    constant = [a is b for a, b in zip(in_state, out_state, strict=True)]
    by_product = dict(zip(products, in_products, strict=True))
    inputs, biases = _added_to_products(jaxpr, by_product, in_params, in_x)
    input_biases = _added_to_inputs(jaxpr, in_params, in_x, inputs, biases)
    indices = [_index(v, in_state) for v in out_operands]
    results = {id(v) for v in jaxpr.outvars}
    return Plan(
        products=products,
        operands=operands,
        state_operands={
            k: i
            for k, i in zip(products, indices, strict=True)
            if i is not None and not constant[i]
        },
        inputs=inputs,
        biases=biases,
        input_biases=input_biases,
        others=[
            i
            for i in float_indices(params)
            if i not in biases | input_biases
            and results & _dependents(jaxpr, [in_params[i]])
        ],
        constant=constant,
        output=_index(out_y, out_state),
        y=y,
    )


def numbered(product: Product) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """A `dot` that calls product(k, v, w), where k counts the calls.

    A call from inside the step's own control flow (or jit, vmap) is a plain product,
    because its operands have no meaning outside of it. So is one whose w is no matrix.
    """
    level = jax.extend.core.get_opaque_trace_state()
    numbers = itertools.count()

    def dot(v: jax.Array, w: jax.Array) -> jax.Array:
        if jax.extend.core.get_opaque_trace_state() != level or w.ndim != 2:
            return matmul(v, w)
        return product(next(numbers), v, w)

    return dot


def replay(
    step: FlatStep,
    params: list[jax.Array],
    state: list[jax.Array],
    x: list[jax.Array],
    products: dict[int, jax.Array],
    known: Product = lambda k, v, p: p,
) -> tuple[list[jax.Array], jax.Array, dict[int, jax.Array]]:
    """Run a step with given values of its products: (state, y, left operands).

    known(k, v, p) returns the value p of product k, for a caller that attaches a
    gradient to it.
    """
    operands = {}

    def product(k: int, v: jax.Array, w: jax.Array) -> jax.Array:
        if k not in products:
            return matmul(v, w)
        operands[k] = v
        return known(k, v, products[k])

    new_state, y = step(params, state, x, product)
    return new_state, y, operands


def float_indices(leaves: Iterable[Leaf]) -> list[int]:
    """Indices of the leaves that can have a gradient."""
    return [i for i, a in enumerate(leaves) if jnp.issubdtype(a.dtype, jnp.inexact)]


def _products(
    step: FlatStep, params: list[Leaf], state: list[Leaf], x: list[Leaf]
) -> dict[int, jax.ShapeDtypeStruct]:
    """Shapes of the products by a matrix that is the same at every step."""

    def record(
        params: list[jax.Array], state: list[jax.Array], x: list[jax.Array]
    ) -> tuple[dict[int, jax.Array], dict[int, jax.Array]]:
        products, ws = {}, {}

        def product(k: int, v: jax.Array, w: jax.Array) -> jax.Array:
            products[k], ws[k] = matmul(v, w), w
            return products[k]

        step(params, state, x, product)
        return products, ws

    closed, (products, ws) = jax.make_jaxpr(record, return_shape=True)(params, state, x)
    _, changing = _split(closed.jaxpr.invars, params, [*state, *x])
    _, matrices = _split(closed.jaxpr.outvars, products, ws)
    dependents = _dependents(closed.jaxpr, changing)
    return {
        k: products[k]
        for k, w in zip(ws, matrices, strict=True)
        if id(w) not in dependents
    }


def _added_to_products(
    jaxpr: Jaxpr, products: dict[int, Var], params: list[Var], x: list[Var]
) -> tuple[dict[int, int], dict[int, int]]:
    """Plan.inputs and Plan.biases."""
    inputs: dict[int, int] = {}
    biases: dict[int, int] = {}
    for k, p in products.items():
        for term in _terms(p, jaxpr):
            i, j = _index(term, params), _index(term, x)
            if i is not None and _is_bias(term.aval, p.aval):
                biases[i] = k
            elif j is not None and term.aval == p.aval and k not in inputs:
                inputs[k] = j
    return inputs, biases


def _added_to_inputs(
    jaxpr: Jaxpr,
    params: list[Var],
    x: list[Var],
    inputs: dict[int, int],
    biases: dict[int, int],
) -> dict[int, int]:
    """Plan.input_biases: for the leaves of x that no product shares."""
    found = {}
    for j, leaf in enumerate(x):
        if j in inputs.values():
            continue
        for term in _terms(leaf, jaxpr):
            i = _index(term, params)
            if i is None or i in biases or not term.aval.ndim:
                continue
            if _is_bias(term.aval, leaf.aval):
                found[i] = j
    return found


def _terms(p: Var, jaxpr: Jaxpr) -> Iterator[Var]:
    """Arguments of `jaxpr` that are only added to p, where p is used in one sum."""
    makers = {id(v): eqn for eqn in jaxpr.eqns for v in eqn.outvars}
    users: dict[int, list[Any]] = {}
    for eqn in jaxpr.eqns:
        for v in eqn.invars:
            users.setdefault(id(v), []).append(eqn)
    for v in jaxpr.outvars:
        users.setdefault(id(v), []).append(None)

    def only_user(v: Var) -> Any:
        found = users.get(id(v), [])
        return found[0] if len(found) == 1 else None

    while (eqn := only_user(p)) is not None and eqn.primitive.name == "add":
        term = next(v for v in eqn.invars if v is not p)
        while only_user(term) is eqn or _is_broadcast(only_user(term)):
            maker = makers.get(id(term))
            if maker is None:
                yield term
            if maker is None or not _is_broadcast(maker):
                break
            (term,) = maker.invars
        (p,) = eqn.outvars


def _is_bias(term: Leaf, total: Leaf) -> bool:
    """Whether the gradient of a term is the sum's, summed over the leading axes."""
    end = total.shape[total.ndim - term.ndim :]
    return term.shape == end and jnp.issubdtype(term.dtype, jnp.inexact)


def _is_broadcast(eqn: Any) -> bool:
    """Whether an equation only repeats its operand along new leading axes."""
    if eqn is None or eqn.primitive.name not in ("broadcast_in_dim", "reshape"):
        return False
    old, new = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
    if eqn.primitive.name == "reshape":
        return new == (1,) * (len(new) - len(old)) + old
    dims = tuple(range(len(new) - len(old), len(new)))
    return (
        eqn.params["broadcast_dimensions"] == dims and new[len(new) - len(old) :] == old
    )


def _dependents(jaxpr: Jaxpr, sources: Iterable[Var]) -> set[int]:
    """The ids of the variables that depend on any of the sources, and of these."""
    found = {id(v) for v in sources}
    for eqn in jaxpr.eqns:
        if any(id(v) in found for v in eqn.invars):
            found |= {id(v) for v in eqn.outvars}
    return found


def _split(variables: Iterable[Var], *trees: Any) -> list[list[Var]]:
    """The variables in lists, one per tree, each as long as the tree has leaves."""
    variables = iter(variables)
    return [
        list(itertools.islice(variables, len(jax.tree.leaves(tree)))) for tree in trees
    ]


def _index(variable: Var, variables: Sequence[Var]) -> int | None:
    return next((i for i, v in enumerate(variables) if v is variable), None)
