"""tanh in a form that XLA's CPU compiler vectorizes."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

# Coefficients of the polynomials in x^2 that Eigen and XLA use for float32, highest
# power first. Beyond BOUND, tanh is 1 to within rounding.
BOUND = 7.90531110763549805
NUMERATOR = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
DENOMINATOR = (
    1.19825839466702e-06,
    1.18534705686654e-04,
    2.26843463243900e-03,
    4.89352518554385e-03,
)


@jax.custom_jvp
def tanh(x: jax.Array) -> jax.Array:
    """The hyperbolic tangent, for arrays of any shape and float dtype.

    In float32 on a CPU this is x * p(x^2) / q(x^2), within 3e-7 of the exact value.
    jnp.tanh uses the same quotient there, but XLA vectorizes it only in this written
    form. For other dtypes and backends this is jnp.tanh.

    Args:
      x: [...].

    Returns:
      [...] in the dtype of x.

    Example:
      >>> np.asarray(tanh(jnp.array([-100.0, 0.0, 0.5]))).round(4)
      array([-1.    ,  0.    ,  0.4621], dtype=float32)
    """
    if x.dtype != jnp.float32 or jax.default_backend() != "cpu":
        return jnp.tanh(x)
    x = jnp.clip(x, -BOUND, BOUND)
    return x * _polynomial(NUMERATOR, x * x) / _polynomial(DENOMINATOR, x * x)


@tanh.defjvp
def _tanh_jvp(
    primals: tuple[jax.Array], tangents: tuple[jax.Array]
) -> tuple[jax.Array, jax.Array]:
    y = tanh(*primals)
    return y, tangents[0] * (1 - y * y)


def _polynomial(coefficients: Sequence[float], x: jax.Array) -> jax.Array:
    total: Any = jnp.float32(coefficients[0])
    for c in coefficients[1:]:
        total = total * x + jnp.float32(c)
    return total
