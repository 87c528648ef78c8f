"""Pretrained word vectors as the first values of an embedding."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.common import activity
from experiments.common.console import note
from experiments.common.errors import UserError
from experiments.common.settings import setting
from seqjax.data import vectors
from seqjax.data.vocab import SENTENCE_TOKENS, UNKNOWN
from seqjax.training import TrainState

VECTORS = setting(
    None,
    "File of word vectors that the embeddings start from, in the text format of GloVe "
    "or fastText, plain or compressed; they decide --embed_size.",
)


def size_of_vectors(given: Mapping[str, Any]) -> dict[str, int]:
    """The default of embed_size, where the file of vectors decides it."""
    path = given.get("vectors")
    if not path or "embed_size" in given:
        return {}
    return {"embed_size": vectors.vector_size(path)}


def start_from_vectors(
    state: TrainState, path: str, words: Sequence[str]
) -> TrainState:
    """A TrainState whose embedding [V, E] has the vectors of known words.

    A word that the file lacks has the vector of its lower-case form, if there is one.
    The other rows, those of special tokens among them, are scaled to the deviation of
    the vectors. A note tells how many words were found.

    Args:
      state: before the first step; its parameters have a field `embed`.
      path: the file of vectors.
      words: the V words.

    Raises:
      DataError: as `seqjax.data.vectors.read`.
      UserError: if the vectors have another size.
    """
    activity.begin("the word vectors")
    embed = state.params.embed
    size = vectors.vector_size(path)
    if size != embed.shape[1]:
        raise UserError(
            f"--embed_size={embed.shape[1]}, but the vectors in {path} have {size} "
            f"numbers."
        )
    found = vectors.read(path, {*words, *(word.lower() for word in words)})
    real = {
        i: word
        for i, word in enumerate(words)
        if word not in (UNKNOWN, *SENTENCE_TOKENS)
    }
    rows = {i: found.get(word, found.get(word.lower())) for i, word in real.items()}
    known = {i: row for i, row in rows.items() if row is not None}
    lowered = len(known) - sum(word in found for word in real.values())
    note(
        f"{path} has {len(known):,} of {len(real):,} words "
        f"({len(known) / max(len(real), 1):.1%})"
        + (f", {lowered:,} of them in lower case." if lowered else ".")
    )
    if not known:
        return state
    table = np.stack(list(known.values()))
    deviation = table.std(dtype=np.float64)
    if deviation > 0:
        embed = embed * (deviation / jnp.std(embed)).astype(embed.dtype)
    embed = embed.at[jnp.asarray(list(known))].set(table)
    return state.replace(params=state.params._replace(embed=embed))
