"""How a step uses its weights, found by tracing it once: what `fused.scan` goes by.

A step here is flat: step(params, state, x, product) -> (state, y), with lists of leaves
for trees, and product(k, v, w) called for v @ w, k counting the calls. Leaves and
products are named by their place.
"""

import itertools
from typing import NamedTuple

import jax
import jax.extend.core
import jax.numpy as jnp

from seqjax.nn.layers import matmul


class Plan(NamedTuple):
    """What `fused.scan` has to know of a step."""

    products: dict  # product -> its shape, where the matrix is the same at every step
    operands: dict  # product -> the shape of its left operand
    states: dict  # product -> the state leaf that is its left operand, if one is
    entries: dict  # product -> the entry of x that is added to it and not used else
    biases: dict  # parameter -> the product that it is added to and not used else
    entry_biases: dict  # parameter -> the entry of x, likewise
    others: list  # parameters that are used in other ways, too
    constant: list  # for each state leaf: does the step hand it on untouched?
    output: int | None  # the state leaf that y is, if it is one
    y: jax.ShapeDtypeStruct


def is_of_the_form(step, params, state, x):
    """Whether step(params, state, x) -> (state, y) is one that `fused.scan` can run.

    The state keeps its form, y is one array, and what is differentiated or mapped comes
    in by the arguments alone: a custom VJP has no gradient for what it closes over.
    """
    closed, results = jax.make_jaxpr(step, return_shape=True)(params, state, x)
    if any(isinstance(const, jax.core.Tracer) for const in closed.consts):
        return False
    new_state, y = results
    if not isinstance(y, jax.ShapeDtypeStruct):
        return False
    old, old_def = jax.tree.flatten(state)
    new, new_def = jax.tree.flatten(new_state)
    return old_def == new_def and all(
        (a.shape, a.dtype) == (b.shape, b.dtype) for a, b in zip(old, new, strict=True)
    )


def plan(step, params, state, x):
    """The Plan of a flat step, from leaves (or their shapes) of one time step."""
    products = _products(step, params, state, x)
    closed, (new_state, y, operands) = jax.make_jaxpr(
        lambda *args: replay(step, *args), return_shape=True
    )(params, state, x, products)
    jaxpr = closed.jaxpr
    ins = _cut(jaxpr.invars, params, state, x, products)
    in_params, in_state, in_x, in_products = ins
    out_state, (out_y,), out_operands = _cut(jaxpr.outvars, new_state, y, operands)
    constant = [a is b for a, b in zip(in_state, out_state, strict=True)]
    states, entries, biases, entry_biases = {}, {}, {}, {}
    for k, p, v in zip(products, in_products, out_operands, strict=True):
        place = _place(v, in_state)
        if place is not None and not constant[place]:
            states[k] = place
        for term in _terms(p, jaxpr):
            i, j = _place(term, in_params), _place(term, in_x)
            if i is not None and _is_bias(term.aval, p.aval):
                biases[i] = k
            elif j is not None and term.aval == p.aval and k not in entries:
                entries[k] = j
    for j, entry in enumerate(in_x):
        if j not in entries.values():
            for term in _terms(entry, jaxpr):
                i = _place(term, in_params)
                new = i is not None and term.aval.ndim and i not in biases
                if new and _is_bias(term.aval, entry.aval):
                    entry_biases[i] = j
    results = {id(v) for v in jaxpr.outvars}
    return Plan(
        products=products,
        operands=operands,
        states=states,
        entries=entries,
        biases=biases,
        entry_biases=entry_biases,
        others=[
            i
            for i in floats(params)
            if i not in biases | entry_biases
            and results & _reached(jaxpr, [in_params[i]])
        ],
        constant=constant,
        output=_place(out_y, out_state),
        y=y,
    )


def numbered(product):
    """A `dot` that calls product(k, v, w), k counting the calls, for what it can take.

    A call from within control flow (or jit, vmap) of the step's own is no such thing:
    its operands mean nothing outside.
    """
    level = jax.extend.core.get_opaque_trace_state()
    numbers = itertools.count()

    def dot(v, w):
        if jax.extend.core.get_opaque_trace_state() != level or w.ndim != 2:
            return matmul(v, w)
        return product(next(numbers), v, w)

    return dot


def replay(step, params, state, x, products, known=lambda k, v, p: p):
    """A step whose products are known: (state, y, left operands)."""
    operands = {}

    def product(k, v, w):
        if k not in products:
            return matmul(v, w)
        operands[k] = v
        return known(k, v, products[k])

    new_state, y = step(params, state, x, product)
    return new_state, y, operands


def floats(leaves):
    """Places of the leaves that can have a gradient."""
    return [i for i, a in enumerate(leaves) if jnp.issubdtype(a.dtype, jnp.inexact)]


def _products(step, params, state, x):
    """Shapes of the products by a matrix that is the same at every step."""

    def record(params, state, x):
        products, ws = {}, {}

        def product(k, v, w):
            products[k], ws[k] = matmul(v, w), w
            return products[k]

        step(params, state, x, product)
        return products, ws

    closed, (products, ws) = jax.make_jaxpr(record, return_shape=True)(params, state, x)
    _, changing = _cut(closed.jaxpr.invars, params, [*state, *x])
    _, matrices = _cut(closed.jaxpr.outvars, products, ws)
    changing = _reached(closed.jaxpr, changing)
    return {
        k: products[k]
        for k, w in zip(ws, matrices, strict=True)
        if id(w) not in changing
    }


def _terms(p, jaxpr):
    """The arguments of `jaxpr` in the sum that p is used in and nowhere else."""
    makers = {id(v): eqn for eqn in jaxpr.eqns for v in eqn.outvars}
    users = {}
    for eqn in jaxpr.eqns:
        for v in eqn.invars:
            users.setdefault(id(v), []).append(eqn)
    for v in jaxpr.outvars:
        users.setdefault(id(v), []).append(None)

    def only_user(v):
        found = users.get(id(v), [])
        return found[0] if len(found) == 1 else None

    while (eqn := only_user(p)) is not None and eqn.primitive.name == "add":
        term = next(v for v in eqn.invars if v is not p)
        while only_user(term) is eqn or _broadcasts(only_user(term)):
            maker = makers.get(id(term))
            if maker is None:
                yield term
            if not _broadcasts(maker):
                break
            (term,) = maker.invars
        (p,) = eqn.outvars


def _is_bias(term, total):
    """Whether the gradient of a term is that of the sum, added up over leading axes."""
    end = total.shape[total.ndim - term.ndim :]
    return term.shape == end and jnp.issubdtype(term.dtype, jnp.inexact)


def _broadcasts(eqn):
    """Whether an equation lays its operand out anew along new leading axes."""
    if eqn is None or eqn.primitive.name not in ("broadcast_in_dim", "reshape"):
        return False
    old, new = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
    if eqn.primitive.name == "reshape":
        return new == (1,) * (len(new) - len(old)) + old
    dims = tuple(range(len(new) - len(old), len(new)))
    return (
        eqn.params["broadcast_dimensions"] == dims and new[len(new) - len(old) :] == old
    )


def _reached(jaxpr, sources):
    """Identities of the variables that depend on any of the sources, these included."""
    reached = {id(v) for v in sources}
    for eqn in jaxpr.eqns:
        if any(id(v) in reached for v in eqn.invars):
            reached |= {id(v) for v in eqn.outvars}
    return reached


def _cut(variables, *trees):
    """The variables in lists as long as the trees have leaves."""
    variables = iter(variables)
    return [
        list(itertools.islice(variables, len(jax.tree.leaves(tree)))) for tree in trees
    ]


def _place(variable, variables):
    return next((i for i, v in enumerate(variables) if v is variable), None)
