"""Loops that may stop early, in the forms for a CPU and for a GPU."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqjax import decoding
from seqjax.decoding import loops, top_k
from seqjax.decoding.loops import scan_until
from tests.equality import assert_same
from tests.search_models import Rules, compiled_find, draw, find


@pytest.fixture
def on_gpu(monkeypatch):
    """Searches are traced anew, in the form for a GPU."""
    monkeypatch.setattr(loops, "on_gpu", lambda: True)
    monkeypatch.setattr(top_k, "on_gpu", lambda: True)
    compiled_find.clear_cache()
    yield
    compiled_find.clear_cache()


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("num_steps", [1, 3, 4, 5, 8])
def test_steps_follow_one_another_until_all_is_done(num_steps, gpu, monkeypatch):
    monkeypatch.setattr(loops, "on_gpu", lambda: gpu)

    @jax.jit
    def run(last):
        def body(t, carry):
            count, calls = carry
            over = (count > last) | (t >= num_steps)
            return (jnp.where(over, count, count + 1), calls + 1), 10 * t

        start = jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32)
        return scan_until(body, start, num_steps, lambda c: c[0] > last, fill=-1)

    for last in range(num_steps + 2):
        (count, calls), rows = run(last)
        taken = min(last + 1, num_steps)
        assert count == taken
        assert calls == (-(-taken // 4) * 4 if gpu else taken)
        filled = min(int(calls), num_steps)
        want = [10 * t if t < filled else -1 for t in range(num_steps)]
        np.testing.assert_array_equal(rows, want)


FORMS = [
    Rules(max_length=4, penalty="power", strength=1.0),
    Rules(max_length=6, ngram=2, min_length=2, beta=0.3),
]


@pytest.mark.parametrize("name", ["greedy", "sample", "beam_search"])
def test_the_form_for_gpus_finds_the_same(name, request):
    """With early and late sentences, so that searches stop at various steps."""
    models = [draw(0, eager=eager) for eager in (-3.0, [9.0, 2.0, -2.0], 9.0)]
    cases = list(itertools.product(models, FORMS, (True, False)))

    def find_all():
        return [
            find(name, model, rules, early_stopping=early_stopping)
            for model, rules, early_stopping in cases
        ]

    want = find_all()
    request.getfixturevalue("on_gpu")
    for found, expected in zip(find_all(), want, strict=True):
        assert_same(found, expected)


SEARCHES = {
    "greedy": decoding.greedy,
    "sample": partial(decoding.sample, key=jax.random.key(0), top_k=3, top_p=0.9),
    "beam_search": partial(decoding.beam_search, beam_size=3),
}


@pytest.mark.parametrize("search", SEARCHES.values(), ids=SEARCHES)
def test_integers_stay_int32_where_jax_has_64_bits(search, x64):
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(5, 5)))
    found = jax.jit(
        lambda: search(
            lambda state, token: (state, logits[token]),
            jnp.zeros((2, 1)),
            bos=0,
            eos=1,
            max_length=4,
            min_length=2,
            no_repeat_ngram=2,
            prefix=jnp.asarray([[-1, 2], [3, -1]]),
        )
    )()
    assert logits.dtype == jnp.float64
    assert [a.dtype for a in found] == [jnp.int32, jnp.float32, jnp.int32]
