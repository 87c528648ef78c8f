"""New poems by a trained model: from a title, a beginning, or the initials of lines."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments import run, verse_data
from seqjax import decoding
from seqjax.data.poems import BREAKS
from seqjax.data.vocab import BOS, EOS, PAD, UNK
from seqjax.decoding.constraints import acrostic

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
    if (least := 2 * len(FLAGS.acrostic) - 1) > FLAGS.length:
        raise run.UserError(
            f"--length={FLAGS.length} is shorter than --acrostic, whose lines have "
            f"{least} characters at least."
        )


def write(model, params, vocab, number):
    """Poems as the flags say, none of them empty, the best first."""
    verse_data.known(FLAGS.title, vocab, "title")
    initials = verse_data.known(FLAGS.acrostic, vocab, "acrostic")
    prefix = verse_data.known(FLAGS.prompt, vocab, "prompt")
    opening = verse_data.opening(FLAGS.title, vocab)
    breaks = np.asarray([c in BREAKS for c in vocab.tokens])
    if len(initials) > 1 and not breaks.any():
        raise run.UserError(
            "--acrostic needs lines, and no poem of training has a mark that ends one."
        )
    options = {
        "bos": int(opening[-1]),
        "min_length": 1,  # or the likeliest of a weak model may be nothing
        "max_length": FLAGS.length + 1,  # the end is a token
        "prefix": np.asarray(prefix, np.int32)[None],
    }

    @jax.jit
    def search(params, key):
        state = model.initial_state((1,))
        state, _ = model.apply(params, opening[:-1, None], state)
        step = partial(_character, model, params)
        step, state = acrostic(step, state, initials, breaks, EOS)
        if FLAGS.beam_size == 1:
            return _sample(step, state, key, num_samples=number, **options)
        return decoding.beam_search(
            step, state, eos=EOS, beam_size=FLAGS.beam_size, n_best=number, **options
        )

    found = jax.device_get(search(params, jax.random.key(FLAGS.seed)))
    poems = [
        _read(tokens[:length], vocab)
        for tokens, length in zip(found.tokens[0], found.lengths[0], strict=True)
    ]
    poems = [(text, over) for text, over in poems if text]  # a beam may find fewer
    if cut := sum(not over for _, over in poems) if FLAGS.acrostic else 0:
        run.note(f"{cut} of {len(poems)} poems are cut at --length={FLAGS.length}.")
    return [text for text, _ in poems]


def draw(model, params, vocab, titles):
    """A poem for each title, drawn without constraints: [(text, whether it ended)].

    A model that reads no titles is told none.
    """
    openings = [verse_data.opening(title, vocab)[1:] for title in titles]
    width = max(map(len, openings))
    prefix = np.full((len(titles), width), -1, np.int32)  # -1: the model's own
    for row, opening in zip(prefix, openings, strict=True):
        row[: len(opening)] = opening

    @jax.jit
    def search(params, key):
        step = partial(_character, model, params)
        state = model.initial_state((len(titles),))
        longest = width + FLAGS.length + 1
        return _sample(step, state, key, bos=BOS, max_length=longest, prefix=prefix)

    found = jax.device_get(search(params, jax.random.key(FLAGS.seed)))
    rows = zip(openings, found.tokens[:, 0], found.lengths[:, 0], strict=True)
    return [_read(tokens[len(o) : length], vocab) for o, tokens, length in rows]


def _sample(step, state, key, **options):
    return decoding.sample(
        step,
        state,
        key,
        eos=EOS,
        temperature=FLAGS.temperature,
        top_k=FLAGS.top_k,
        top_p=FLAGS.top_p,
        **options,
    )


def _character(model, params, state, token):
    """The model's step, which says neither unk, pad nor bos."""
    state, logits = model.step(params, state, token)
    return state, logits.at[jnp.asarray((UNK, PAD, BOS))].set(-jnp.inf)


def _read(tokens, vocab):
    """(text, whether it ended) of a poem's tokens, no longer than --length."""
    over = len(tokens) > 0 and tokens[-1] == EOS
    text = "".join(vocab.to_tokens(tokens[:-1] if over else tokens))
    return text[: FLAGS.length], bool(over and len(text) <= FLAGS.length)
