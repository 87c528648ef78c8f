"""The held-out parts of a speech corpus: recognized, scored and shown."""

from collections.abc import Sequence
from typing import Any

from experiments.common.console import percent, print_columns
from experiments.common.job import mean_loss
from experiments.common.line_io import evaluation_title
from experiments.common.train_on_valid import valid_heading
from experiments.speech.config import Config
from experiments.speech.recognition import (
    SpeechRecognizer,
    Words,
    error_rates,
    make_recognize,
    minibatches_of,
)
from seqjax.data.speech import SpeechCorpus, Utterance

NAMES = {
    "word_error_rate": "word error rate",
    "letter_error_rate": "letter error rate",
    "utterances_right": "correct utterances",
    "digits_right": "correct utterances of one word",
}


def measure(
    config: Config, corpus: SpeechCorpus, recognizer: SpeechRecognizer, params: Any
) -> dict[str, Any]:
    """Recognize the held-out parts and print the tables; numbers for summary.json."""
    decode = config.decode
    recognize = {
        "": make_recognize(
            config.data, *recognizer, decode.beam_size, decode.limit_words
        ),
        "greedy_": make_recognize(config.data, *recognizer, beam_size=1),
    }
    numbers: dict[str, Any] = {}
    pairs: list[tuple[Utterance, Words]] = []
    for part in ("valid", "test"):
        utterances = getattr(corpus, part)
        minibatches = minibatches_of(config, recognizer, utterances)
        for prefix, recognize_part in recognize.items():
            found, total, count = recognize_part(params, minibatches)
            rates = error_rates(utterances, found)
            numbers |= {f"{prefix}{part}_{name}": n for name, n in rates.items()}
            if not prefix:
                numbers[f"{part}_loss"] = mean_loss(total, count)
                pairs = list(zip(utterances, found, strict=True))
    columns = ("valid", "test", "greedy_test")
    rows = [
        (shown, *(percent(numbers[f"{column}_{name}"]) for column in columns))
        for name, shown in NAMES.items()
    ]
    valid = valid_heading(config.train.train_on_valid)
    print_columns(corpus.name, ("%", valid, "test", "test, greedy"), rows)
    print_wrong(pairs, decode.examples)
    return numbers


def measure_input(
    config: Config,
    utterances: Sequence[Utterance],
    recognizer: SpeechRecognizer,
    params: Any,
) -> dict[str, float | None]:
    """Recognize utterances and print the tables; their error rates.

    Words that no training recording has are errors; there is no loss, which would need
    their labels.
    """
    decode = config.decode
    recognize = make_recognize(
        config.data, *recognizer, decode.beam_size, decode.limit_words
    )
    unlabeled = [utterance._replace(words=()) for utterance in utterances]
    minibatches = minibatches_of(config, recognizer, unlabeled)
    found, _, _ = recognize(params, minibatches)
    rates = error_rates(utterances, found)
    rows = [(shown, percent(rates[name])) for name, shown in NAMES.items()]
    title = evaluation_title(f"{config.train.checkpoint} checkpoint", config.files)
    title = f"{title}: {len(utterances):,} utterances"
    print_columns(title, ("%", "test"), rows)
    print_wrong(list(zip(utterances, found, strict=True)), decode.examples)
    return {f"test_{name}": rate for name, rate in rates.items()}


def print_wrong(pairs: list[tuple[Utterance, Words]], number: int) -> None:
    """Print some test utterances that are not recognized."""
    wrong = [(u, words) for u, words in pairs if u.words != words]
    rows = [
        (u.name[:50], " ".join(u.words)[:50], " ".join(words)[:50])
        for u, words in wrong[:number]
    ]
    if rows:
        title = f"{len(rows)} of {len(wrong):,} wrong test utterances"
        print_columns(title, ("utterance", "spoken", "recognized"), rows)
