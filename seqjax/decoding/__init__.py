"""Decoding from a step function: sampling, greedy, beam search, exhaustive search.

A step function is written for one hypothesis,

    state, logits [V] = step(state, token)       or  step(state, token, context)

and the searches map it over all sentences B and hypotheses K. Leaves of the state and
of the context begin with B.

    sampling      sample_token, greedy, sample
    streaming     stream: endless sampling, one token at a time
    beam_search   beam_search
    exhaustive    exhaustive: the best of all sequences, the reference
    ensemble      ensemble: several models decoded as one
    constraints   acrostic: constrains the initials of lines
    penalties     length and coverage penalties
    repetition    repetition_penalty: lowers the logits of tokens that were read
    hypotheses    Hypotheses, the result of every search, and the shared rules
"""

from seqjax.decoding.beam_search import beam_search
from seqjax.decoding.constraints import acrostic
from seqjax.decoding.ensemble import ensemble
from seqjax.decoding.exhaustive import exhaustive
from seqjax.decoding.hypotheses import Hypotheses
from seqjax.decoding.penalties import (
    gnmt_coverage,
    gnmt_penalty,
    no_penalty,
    power_penalty,
    word_reward,
)
from seqjax.decoding.repetition import repetition_penalty
from seqjax.decoding.sampling import greedy, sample, sample_token
from seqjax.decoding.streaming import stream

__all__ = [
    "Hypotheses",
    "acrostic",
    "beam_search",
    "ensemble",
    "exhaustive",
    "gnmt_coverage",
    "gnmt_penalty",
    "greedy",
    "no_penalty",
    "power_penalty",
    "repetition_penalty",
    "sample",
    "sample_token",
    "stream",
    "word_reward",
]
