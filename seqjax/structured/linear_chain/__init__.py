"""Dynamic programming over linear chains, for hidden Markov models and CRFs.

A chain of K states gives each sequence s of L states, out of K^L, the score

    score(s) = sum_{t=0}^{L-1} unary[t, s_t] + sum_{t=1}^{L-1} pairwise[s_{t-1}, s_t]

and the probability exp(score(s)) / Z with Z = sum_s exp(score(s)). In a hidden Markov
model the potentials are log probabilities and Z is the likelihood. In a conditional
random field they are any numbers. Potentials of the ends (the probability of the first
state, scores of starting and stopping) are part of the first and the last unary.

    log_partition    log Z, differentiable
    forward          log Z, and the states given the past
    backward         messages from the future
    marginals        probabilities of states and pairs given the whole chain
    viterbi          the best path and its score
    sample           a random path
    score            the score of a given path

All functions take

    unary      [T, ..., K]
    pairwise   [K, K] for all, [..., K, K] per sequence, or [T, ..., K, K] per step;
               pairwise[t] leads from t-1 to t, and pairwise[0] is not read
    lengths    integers [...] in 0 .. T, of any integer dtype; None is T
    parallel   use associative scans: the same numbers, faster on devices with many
               cores

Potentials of -inf forbid. Padding may hold any values, and results there are zero. A
sequence of length 0 has one path, of score 0. Pass batches as batch axes: under
`jax.vmap` over the potentials, the exact loop of `messages` always runs too.

Source: Rabiner, "A tutorial on hidden Markov models", Proceedings of the IEEE 77, 1989;
Lafferty et al., "Conditional random fields", ICML 2001.
"""

from seqjax.structured.linear_chain.partition import (
    Forward,
    Marginals,
    backward,
    forward,
    log_partition,
    marginals,
)
from seqjax.structured.linear_chain.paths import sample, score, viterbi

__all__ = [
    "Forward",
    "Marginals",
    "backward",
    "forward",
    "log_partition",
    "marginals",
    "sample",
    "score",
    "viterbi",
]
