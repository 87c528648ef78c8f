"""Validation and scores of translations: perplexity, BLEU, chrF; samples."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import sacrebleu

from experiments.common.console import print_text
from experiments.common.devices import ONE_DEVICE, Placement
from experiments.translation.bleu import bleu_tokenizer
from experiments.translation.config import Config
from experiments.translation.data import (
    Tokenizers,
    describe_preparation,
    held_out_minibatches,
)
from experiments.translation.translator import Translation, Translator, note_cut_off
from seqjax import metrics
from seqjax.data import parallel
from seqjax.models.seq2seq import Seq2Seq
from seqjax.training import TrainState


class ScoredTranslations(NamedTuple):
    """The translations of a test part and their scores."""

    scores: dict[str, Any]  # entries of summary.json
    translations: list[list[Translation]]  # of each pair, best first
    tokenize: str  # the tokenization of BLEU
    sentences_per_second: float


def make_perplexity(
    model: Seq2Seq,
    split: parallel.PairSplit,
    tokenizers: Tokenizers,
    batch_size: int,
    placement: Placement = ONE_DEVICE,
) -> Callable[[Any], float]:
    """params -> perplexity of a part's translations, without label smoothing."""
    batches = held_out_minibatches(split, tokenizers, batch_size)
    loss = placement.held_out(jax.jit(model.loss))

    def perplexity_of(params: Any) -> float:
        totals, counts = zip(*(loss(params, batch) for batch in batches), strict=True)
        return metrics.perplexity(sum(map(float, totals)), sum(map(float, counts)))

    return perplexity_of


def make_validation(
    config: Config,
    model: Seq2Seq,
    tokenizers: Tokenizers,
    valid: parallel.PairSplit,
    placement: Placement,
) -> Callable[[TrainState], dict[str, float]]:
    """state -> the validation numbers, with BLEU if that is the criterion."""
    perplexity_of = make_perplexity(
        model, valid, tokenizers, config.train.batch_size, placement
    )
    translator = Translator(model, tokenizers, config.decode, config.run.seed)
    # Spread over the whole part, since a corpus may be sorted by length.
    spread = np.linspace(0, len(valid.source) - 1, config.train.valid_sentences)
    indices = np.unique(spread.astype(int))
    sources = [valid.source[i] for i in indices]
    references = [valid.target[i] for i in indices]
    tokenize = bleu_tokenizer(config.score.tokenize, references, quiet=True)

    def validate(state: TrainState) -> dict[str, float]:
        numbers = {"valid_perplexity": perplexity_of(state.params)}
        if config.train.criterion == "bleu":
            params = placement.whole(state).params
            texts = best_texts(translator.translate(sources, [params]))
            bleu = sacrebleu.BLEU(force=True, tokenize=tokenize)
            numbers["valid_bleu"] = bleu.corpus_score(texts, [references]).score
        return numbers

    return validate


def translate_test(
    config: Config,
    translator: Translator,
    ensemble: Sequence[Any],
    test: parallel.PairSplit,
) -> ScoredTranslations:
    """Translate a test part and score it; each distinct source is translated once.

    Args:
      config: how sentences are prepared, and how BLEU splits them.
      translator: of the model.
      ensemble: the parameters of the models whose probabilities are averaged.
      test: the pairs.
    """
    references: dict[str, list[str]] = {}  # of each distinct source
    for source, target in zip(test.source, test.target, strict=True):
        references.setdefault(source, []).append(target)
    distinct = translator.translate(list(references), ensemble)
    of_source = dict(zip(references, distinct, strict=True))
    translations = [of_source[source] for source in test.source]
    note_cut_off(distinct)

    tokenize = bleu_tokenizer(config.score.tokenize, test.target)
    bleu, chrf = sacrebleu.BLEU(force=True, tokenize=tokenize), sacrebleu.CHRF()
    texts = best_texts(translations)
    scores = {
        "test_bleu": bleu.corpus_score(texts, [test.target]).score,
        "test_bleu_signature": str(bleu.get_signature()),
        "test_chrf": chrf.corpus_score(texts, [test.target]).score,
        "test_references": describe_preparation(config.data),
    }
    if len(references) < len(translations):
        scores |= _score_by_source(
            best_texts(distinct), list(references.values()), tokenize
        )
    speed = translator.sentences / max(translator.seconds, 1e-9)
    return ScoredTranslations(scores, translations, tokenize, speed)


def best_texts(translations: Sequence[Sequence[Translation]]) -> list[str]:
    """The text of the best translation of each sentence."""
    return [of_one[0].text for of_one in translations]


def _score_by_source(
    texts: Sequence[str], references: Sequence[Sequence[str]], tokenize: str
) -> dict[str, Any]:
    """BLEU of each distinct source with all its references.

    Args:
      texts: the translation of each source.
      references: all references of each source.
      tokenize: the tokenization of BLEU.
    """
    bleu = sacrebleu.BLEU(force=True, tokenize=tokenize)
    distinct = map(dict.fromkeys, references)
    # Stream k holds reference k of each source, and None where there are fewer.
    streams = list(itertools.zip_longest(*distinct))
    return {
        "test_bleu_multi": bleu.corpus_score(texts, streams).score,
        "test_bleu_multi_signature": str(bleu.get_signature()),
    }


def score_rows(result: ScoredTranslations) -> list[tuple[str, str]]:
    """The rows of the scores in a table."""
    scores = result.scores
    rows = [
        ("test BLEU", f"{scores['test_bleu']:.2f}"),
        ("test chrF", f"{scores['test_chrf']:.2f}"),
        ("BLEU signature", scores["test_bleu_signature"]),
        ("references", scores["test_references"]),
    ]
    if "test_bleu_multi" in scores:
        rows += [
            ("BLEU, all references", f"{scores['test_bleu_multi']:.2f}"),
            ("its signature", scores["test_bleu_multi_signature"]),
        ]
    return [*rows, ("sentences/s", f"{result.sentences_per_second:,.0f}")]


def print_samples(
    split: parallel.PairSplit, result: ScoredTranslations, number: int = 4
) -> None:
    """Print some sentences, their translations and the references."""
    texts = best_texts(result.translations)
    split_words = _word_splitter(result.tokenize)
    step = max(1, len(texts) // number)
    lines = []
    for i in range(0, len(texts), step)[:number]:
        bleu = metrics.bleu(split_words(texts[i]), split_words(split.target[i]), 2)
        lines += [
            f"source       {split.source[i]}",
            f"translation  {texts[i]}",
            f"reference    {split.target[i]}   (BLEU-2 {bleu:.3f})\n",
        ]
    print_text("\n".join(lines), "some translations")


def _word_splitter(tokenize: str) -> Callable[[str], list[str]]:
    """text -> its words: at white space, as the textbook does, unless BLEU does not."""
    if tokenize == "13a":
        return str.split
    tokenizer = sacrebleu.BLEU(tokenize=tokenize).tokenizer
    return lambda text: tokenizer(text).split()
