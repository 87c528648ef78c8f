"""The searches of `decoding` in plain Python, with lists and float64."""

from typing import Any, NamedTuple

import jax
import numpy as np

from tests.search_models import BOS, EOS, PENALTIES, Rules, find, rows, step


class Sentence(NamedTuple):
    start: Any
    step: Any  # (state, token) -> (state, logits)
    coverage: Any  # (state, beta) -> number


class Path(NamedTuple):
    tokens: tuple
    log_prob: float
    state: Any
    score: float = None


def sentence(model, b):
    params, start, context = jax.tree.map(
        lambda leaf: np.float64(leaf) if leaf.dtype == np.float32 else leaf,
        (model.params, *rows(model, b)[1:]),
    )

    def coverage(state, beta):
        attended = state[1][context["mask"]]
        return beta * sum(np.log(min(max(p, 1e-9), 1.0)) for p in attended)

    return Sentence(
        start, lambda state, token: step(np, params, state, token, context), coverage
    )


def log_softmax(logits):
    return logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()


def distribution(logits, temperature=1.0, top_k=0, top_p=1.0):
    """The distribution of `sample_token`, token by token in float64."""
    powers = np.exp(np.float64(logits) / temperature)
    most_probable = sorted(range(len(powers)), key=lambda i: -powers[i])
    if top_k:
        most_probable = most_probable[:top_k]
    nucleus, share = [], 0.0
    for i in most_probable:
        nucleus.append(i)
        share += powers[i] / powers[most_probable].sum()
        if share >= top_p:
            break
    probabilities = np.zeros(len(powers))
    probabilities[nucleus] = powers[nucleus] / powers[nucleus].sum()
    return probabilities


def ngrams(tokens, n):
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def follows(tokens, token, rules, prefix):
    """Whether the rules allow `token` after `tokens`."""
    if len(tokens) < len(prefix) and prefix[len(tokens)] >= 0:
        return token == prefix[len(tokens)]
    if token == EOS:
        return len(tokens) >= rules.min_length
    *old, new = ngrams((*tokens, token), rules.ngram or 99) or [None]
    return new not in old


def continuations(sentence, path, rules, prefix=()):
    """All extensions of a path by one token, eos included."""
    last = path.tokens[-1] if path.tokens else BOS
    state, logits = sentence.step(path.state, last)
    for token, log_prob in enumerate(log_softmax(logits)):
        if log_prob > -np.inf and follows(path.tokens, token, rules, prefix):
            log_prob = path.log_prob + log_prob
            tokens = (*path.tokens, token)
            score = PENALTIES[rules.penalty][1](rules.strength, log_prob, len(tokens))
            score += sentence.coverage(state, rules.beta)
            yield Path(tokens, log_prob, state, score)


def ranked(sentence, rules, prefix=(), width=None):
    """All hypotheses of a beam search, best first; without a width, all sequences."""
    live, finished = [Path((), 0.0, sentence.start)], []
    for _ in range(rules.max_length):
        new = [p for path in live for p in continuations(sentence, path, rules, prefix)]
        if width is not None:
            new = sorted(new, key=lambda p: -p.log_prob)[: 2 * width]
        finished += [p for p in new if p.tokens[-1] == EOS]
        live = [p for p in new if p.tokens[-1] != EOS][:width]
    return [
        p for group in (finished, live) for p in sorted(group, key=lambda p: -p.score)
    ]


def followed(sentence, rules, prefix=()):
    """The greedy path, or none where no token is allowed."""
    path = Path((), 0.0, sentence.start)
    while len(path.tokens) < rules.max_length and EOS not in path.tokens:
        new = list(continuations(sentence, path, rules, prefix))
        if not new:
            return []
        path = max(new, key=lambda p: p.log_prob)
    return [path]


def padded(tokens, length):
    return [*tokens, *[EOS] * (length - len(tokens))]


def assert_found(found, want, max_length):
    """Assert that hypotheses of one sentence are the first paths, then empty slots."""
    tokens, scores, lengths = found
    want = want[: len(scores)]
    left = len(scores) - len(want)
    np.testing.assert_allclose(
        scores, [*(p.score for p in want), *[-np.inf] * left], rtol=2e-5, atol=2e-5
    )
    paths = [p.tokens for p in want] + [()] * left
    assert tokens.tolist() == [padded(path, max_length) for path in paths]
    assert lengths.tolist() == [len(path) for path in paths]


def assert_drawn(found, possible, max_length):
    """Assert that samples are possible paths with their scores, best first."""
    scores = {p.tokens: p.score for p in possible}
    drawn = [tuple(t[:n].tolist()) for t, n in zip(found[0], found[2], strict=True)]
    want = sorted(drawn, key=lambda tokens: (EOS not in tokens, -scores[tokens]))
    assert_found(found, [Path(t, None, None, scores[t]) for t in want], max_length)


def assert_agrees(name, model, rules, **how):
    """Assert that a search of a batch finds what the reference finds per sentence."""
    found = find(name, model, rules, **how)
    for b in range(len(found.tokens)):
        prefix = () if rules.prefix is None else rules.prefix[b]
        arguments = sentence(model, b), rules, prefix
        ours = jax.tree.map(lambda leaf, b=b: leaf[b], found)
        if name == "sample" and followed(*arguments):
            assert_drawn(ours, ranked(*arguments), rules.max_length)
        elif name in ("greedy", "sample") or how.get("beam_size") == 1:
            assert_found(ours, followed(*arguments), rules.max_length)
        else:
            width = how.get("beam_size", 3) if name == "beam_search" else None
            assert_found(ours, ranked(*arguments, width), rules.max_length)
    return found


EVERY_PENALTY = [
    Rules(),
    Rules(beta=0.5),
    Rules(penalty="power", strength=0.75),
    Rules(penalty="power", strength=2.0),
    Rules(penalty="power", strength=-0.8),
    Rules(penalty="gnmt", strength=0.6, beta=0.2),
    Rules(penalty="gnmt", strength=-1.5),
    Rules(penalty="reward", strength=1.5),
    Rules(penalty="reward", strength=-0.7, beta=1.0),
]
