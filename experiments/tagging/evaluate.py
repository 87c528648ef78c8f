"""TagScores of predicted tags, beside a baseline without context."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from experiments.common.console import percent, print_columns
from seqjax import metrics
from seqjax.data.tagged import Sentence, TaggedCorpus

Tags = Sequence[Sequence[str]]  # of each word of each sentence


class TagScores(NamedTuple):
    """How good predicted tags are.

    Attributes:
      numbers: f1, precision and recall of spans, if the tags are spans; accuracy, and
        accuracy on ambiguous words (None without such words); each in [0, 1].
      by_type: the scores of the spans of each type.
    """

    numbers: dict[str, float | None]
    by_type: dict[str, metrics.SpanScores]


def score(
    sentences: Sequence[Sentence],
    predicted: Tags,
    ambiguous: Collection[str],
    have_spans: bool,
) -> TagScores:
    """The scores of predicted tags.

    Args:
      sentences: with the correct tags.
      predicted: the tags of each sentence.
      ambiguous: the ambiguous words.
      have_spans: whether the tags are spans.
    """
    numbers: dict[str, float | None] = {}
    by_type: dict[str, metrics.SpanScores] = {}
    if have_spans:
        total, by_type = metrics.span_scores([s.tags for s in sentences], predicted)
        numbers |= {
            "f1": total.f1,
            "precision": total.precision,
            "recall": total.recall,
        }
    correct, ambiguous_correct = [], []
    for sentence, tags in zip(sentences, predicted, strict=True):
        for token, tag, found in zip(*sentence, tags, strict=True):
            correct.append(tag == found)
            if token in ambiguous:
                ambiguous_correct.append(tag == found)
    numbers["accuracy"] = float(np.mean(correct))
    numbers["ambiguous_accuracy"] = (
        float(np.mean(ambiguous_correct)) if ambiguous_correct else None
    )
    return TagScores(numbers, by_type)


def most_frequent_tags(
    training: Iterable[Sentence],
) -> Callable[[Sequence[Sentence]], Tags]:
    """The baseline: sentences -> the tag that each word most often has in training.

    Unknown words get the tag that is most frequent over all words.
    """
    counts: dict[str, Counter[str]] = {}
    total: Counter[str] = Counter()
    for tokens, tags in training:
        total.update(tags)
        for token, tag in zip(tokens, tags, strict=True):
            counts.setdefault(token, Counter())[tag] += 1
    best = {token: tags.most_common(1)[0][0] for token, tags in counts.items()}
    other = total.most_common(1)[0][0]

    def predict(sentences: Sequence[Sentence]) -> Tags:
        return [[best.get(token, other) for token in s.tokens] for s in sentences]

    return predict


def ambiguous_words(training: Iterable[Sentence]) -> set[str]:
    """The words that have several tags in training."""
    found: dict[str, set[str]] = {}
    for tokens, tags in training:
        for token, tag in zip(tokens, tags, strict=True):
            found.setdefault(token, set()).add(tag)
    return {token for token, tags in found.items() if len(tags) > 1}


def evaluate_corpus(
    corpus: TaggedCorpus,
    predict: Callable[[Sequence[Sentence]], Tags],
    have_spans: bool,
    valid_heading: str,
) -> dict[str, float | None]:
    """Score the held-out parts and print the table; the entries of summary.json.

    Args:
      corpus: the sentences.
      predict: sentences -> their tags.
      have_spans: whether the tags are spans.
      valid_heading: the heading of the validation part's column.
    """
    ambiguous = ambiguous_words(corpus.train)
    baseline = most_frequent_tags(corpus.train)

    def scored(
        part: Sequence[Sentence], predict: Callable[[Sequence[Sentence]], Tags]
    ) -> TagScores:
        return score(part, predict(part), ambiguous, have_spans)

    valid = scored(corpus.valid, predict)
    test = scored(corpus.test, predict)
    base = scored(corpus.test, baseline)
    number = sum(token in ambiguous for s in corpus.test for token in s.tokens)
    header = ("%", valid_heading, "test", "test (most frequent tag)")
    title = corpus.name
    if corpus.scheme is not None:
        converted = "" if corpus.scheme == "BIO" else ", scored as BIO"
        title += f", spans in {corpus.scheme}{converted}"
    print_columns(title, header, _rows(valid, test, base, number))
    return {
        **{f"valid_{name}": value for name, value in valid.numbers.items()},
        **{f"test_{name}": value for name, value in test.numbers.items()},
        **{f"baseline_{name}": value for name, value in base.numbers.items()},
    }


def evaluate_sentences(
    title: str, sentences: Sequence[Sentence], predicted: Tags, have_spans: bool
) -> dict[str, float | None]:
    """Score sentences without their training part and print the table.

    Args:
      title: of the table.
      sentences: with the correct tags.
      predicted: the tags of each sentence.
      have_spans: whether the tags are spans.
    """
    found = score(sentences, predicted, (), have_spans)
    numbers = {k: v for k, v in found.numbers.items() if v is not None}
    rows = [(name, percent(value)) for name, value in numbers.items()]
    for kind, scores in found.by_type.items():
        name = f"f1 of {kind or 'spans without a type'} ({scores.gold:,})"
        rows.append((name, percent(scores.f1)))
    words = sum(len(s.tokens) for s in sentences)
    number = f"{len(sentences):,} sentences, {words:,} words"
    print_columns(f"{title}: {number}", ("%", "test"), rows)
    return {f"test_{name}": value for name, value in numbers.items()}


def _rows(
    valid: TagScores, test: TagScores, base: TagScores, num_ambiguous: int
) -> list[tuple[str, str, str, str]]:
    """The rows of the table: all numbers, then the f1 of each type."""
    names = {"ambiguous_accuracy": f"accuracy on {num_ambiguous:,} ambiguous words"}
    rows = [
        (
            names.get(name, name),
            percent(valid.numbers[name]),
            percent(value),
            percent(base.numbers[name]),
        )
        for name, value in test.numbers.items()
    ]
    for kind, scores in test.by_type.items():
        base_f1 = base.by_type[kind].f1 if kind in base.by_type else 0.0
        name = f"f1 of {kind or 'spans without a type'} ({scores.gold:,})"
        rows.append((name, "", percent(scores.f1), percent(base_f1)))
    return rows
