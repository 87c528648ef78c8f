"""New poems by a trained model: from a title, a beginning, or the initials of lines."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments import run, verse_data
from seqjax import decoding
from seqjax.acrostic import acrostic
from seqjax.data.poems import BREAKS
from seqjax.data.vocab import BOS, EOS, PAD, UNK

FLAGS = flags.FLAGS
flags.DEFINE_string("title", "", "of the poem, where training read titles")
flags.DEFINE_string("prompt", "", "how the poem begins")
flags.DEFINE_string("acrostic", "", "the characters that its lines begin with")
flags.DEFINE_integer("number", 1, "poems to write", 1, 1000)
flags.DEFINE_integer("length", 200, "characters of a poem, at most", 1, 10**5)
flags.DEFINE_integer("beam_size", 1, "above 1: the likeliest, by beam search", 1, 1000)
flags.DEFINE_float("temperature", 0.8, "of drawing; 0 is greedy", lower_bound=0)
flags.DEFINE_integer("top_k", 0, "draw from the k likeliest; 0: all", lower_bound=0)
flags.DEFINE_float("top_p", 1.0, "draw from the likeliest with this share", 1e-6, 1)


def check_flags():
    """Refuse flags that do not go together."""
    if FLAGS.title and not FLAGS.titles:
        raise run.UserError("--title needs a model that was trained with --titles.")
    if FLAGS.acrostic and FLAGS.prompt:
        raise run.UserError("--acrostic and --prompt exclude each other.")
    if FLAGS.beam_size > 1 and FLAGS.number > FLAGS.beam_size:
        raise run.UserError(
            f"--number={FLAGS.number} needs a --beam_size of as many at least."
        )
    if len(FLAGS.prompt) > FLAGS.length:
        raise run.UserError(
            f"--length={FLAGS.length} is shorter than --prompt, which has "
            f"{len(FLAGS.prompt)} characters."
        )


def write(model, params, vocab, number):
    """Poems as the flags say, the best first."""
    found = _search(model, params, vocab, number, _constraints(vocab))
    return [text for text, _ in _read(found, vocab)]


def draw(model, params, vocab, number):
    """Poems without any constraint, at --temperature: [(text, whether it ended)]."""
    found = _search(model, params, vocab, number, constraints=None)
    return _read(found, vocab)


def _constraints(vocab):
    """(tokens that lines begin with, tokens that the poem begins with)."""
    return (
        verse_data.known(FLAGS.acrostic, vocab, "acrostic"),
        verse_data.known(FLAGS.prompt, vocab, "prompt"),
    )


def _search(model, params, vocab, number, constraints):
    searches = constraints is not None and FLAGS.beam_size > 1
    opening = verse_data.opening(FLAGS.title if constraints else "", vocab)
    initials, prefix = constraints or ((), ())
    breaks = np.asarray([c in BREAKS for c in vocab.tokens])
    options = {
        "bos": int(opening[-1]),
        "eos": EOS,
        "max_length": FLAGS.length,
        "prefix": np.asarray(prefix, np.int32)[None] if len(prefix) else None,
    }

    @jax.jit
    def search(params, key):
        state = model.initial_state((1,))
        state, _ = model.apply(params, opening[:-1, None], state)
        step = partial(_character, model, params)
        step, state = acrostic(step, state, initials, breaks, EOS)
        if searches:
            return decoding.beam_search(
                step, state, beam_size=FLAGS.beam_size, n_best=number, **options
            )
        return decoding.sample(
            step,
            state,
            key,
            num_samples=number,
            temperature=FLAGS.temperature,
            top_k=FLAGS.top_k,
            top_p=FLAGS.top_p,
            **options,
        )

    return jax.device_get(search(params, jax.random.key(FLAGS.seed)))


def _character(model, params, state, token):
    """The model's step, which says neither unk, pad nor bos."""
    state, logits = model.step(params, state, token)
    return state, logits.at[jnp.asarray((UNK, PAD, BOS))].set(-jnp.inf)


def _read(found, vocab):
    """[(text, whether it ended)] of the hypotheses of one sentence."""
    texts = []
    for tokens, length in zip(found.tokens[0], found.lengths[0], strict=True):
        tokens = tokens[:length]
        over = bool(length) and tokens[-1] == EOS
        texts.append(("".join(vocab.to_tokens(tokens[:-1] if over else tokens)), over))
    return texts
