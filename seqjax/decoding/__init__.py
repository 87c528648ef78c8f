"""Decoding from a step function: sampling, greedy, beam search, exhaustive search.

A step function is written for one hypothesis,

    state, logits [V] = step(state, token)       or  step(state, token, context)

and the searches run it for all sentences B and hypotheses K at once. Leaves of the
state and of the context begin with B.
"""

from seqjax.decoding.beam_search import beam_search
from seqjax.decoding.exhaustive import exhaustive
from seqjax.decoding.hypotheses import Hypotheses
from seqjax.decoding.sampling import ensemble, greedy, sample, sample_token, stream

__all__ = [
    "Hypotheses",
    "beam_search",
    "ensemble",
    "exhaustive",
    "greedy",
    "sample",
    "sample_token",
    "stream",
]
