"""Scores, baselines, errors and attention weights of a classifier."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.classification.data import DocumentEncoder, EncodedSplit
from experiments.classification.figures import DocumentWeights, draw_attention
from experiments.common.console import print_columns, print_text
from seqjax import metrics
from seqjax.baselines import naive_bayes
from seqjax.data import labeled
from seqjax.models.classifier import Classifier

TEXT_WIDTH = 90  # characters of a document in the table of errors


def score(part: str, log_probs: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy, macro F1 and perplexity of a part, by name.

    Args:
      part: the beginning of the names, such as "valid".
      log_probs: of the labels, [N, C].
      labels: integers [N].
    """
    losses = -log_probs[np.arange(len(labels)), labels]
    counts = metrics.confusion(log_probs.argmax(-1), labels, log_probs.shape[-1])
    return {
        f"{part}_accuracy": metrics.accuracy(counts),
        f"{part}_macro_f1": metrics.macro_f1(counts),
        f"{part}_perplexity": metrics.perplexity(losses.sum(), len(labels)),
    }


def score_rows(part: str, scores: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The rows of a table that show what `score` returned."""
    return [
        (f"{part} accuracy", f"{scores[f'{part}_accuracy']:.2%}"),
        (f"{part} macro F1", f"{scores[f'{part}_macro_f1']:.4f}"),
        (f"{part} perplexity", f"{scores[f'{part}_perplexity']:.4f}"),
    ]


def score_baselines(
    train: EncodedSplit, test: EncodedSplit, vocab_size: int, num_labels: int
) -> dict[str, float]:
    """Test accuracy of naive Bayes and of the most frequent label."""
    bayes = naive_bayes.fit(train.documents, train.labels, vocab_size, num_labels)
    predicted = bayes.predict(test.documents)
    counts = metrics.confusion(predicted, test.labels, num_labels)
    most_frequent = np.bincount(train.labels).argmax()
    return {
        "naive_bayes_test_accuracy": metrics.accuracy(counts),
        "majority_test_accuracy": float(np.mean(test.labels == most_frequent)),
    }


def print_errors(
    split: labeled.LabeledSplit,
    log_probs: np.ndarray,
    names: Sequence[str],
    examples: int,
) -> None:
    """Print the misclassified documents, the most confident errors first.

    Args:
      split: the documents and their labels.
      log_probs: of the labels, [N, C].
      names: of the labels, by index.
      examples: the number of documents to print.
    """
    predicted = [names[index] for index in log_probs.argmax(-1)]
    pairs = zip(split.labels, predicted, strict=True)
    errors = np.flatnonzero([label != found for label, found in pairs])
    confidence = log_probs.max(-1)
    errors = errors[np.argsort(-confidence[errors], kind="stable")]
    rows = [
        (
            split.texts[i][:TEXT_WIDTH].replace("\n", " "),
            split.labels[i],
            predicted[i],
            f"{np.exp(confidence[i]):.4f}",
        )
        for i in errors[:examples]
    ]
    if rows:
        title = f"most confident errors, {len(rows):,} of {len(errors):,}"
        print_columns(title, ("document", "label", "predicted", "probability"), rows)


def show_attention(
    path: Path,
    model: Classifier,
    params: Any,
    encoder: DocumentEncoder,
    split: labeled.LabeledSplit,
    log_probs: np.ndarray,
    examples: int,
) -> None:
    """Print and draw the attention weights over the tokens of some documents.

    Args:
      path: the figure.
      model: a classifier with attention pooling.
      params: its parameters.
      encoder: what encodes the documents.
      split: the documents and their labels.
      log_probs: of the labels, [N, C].
      examples: the number of documents, at least one.
    """
    weights_of = jax.jit(model.attention_weights)
    shown, lines = [], []
    for i in np.unique(np.linspace(0, len(split.texts) - 1, examples).astype(int)):
        (tokens,) = encoder.encode([split.texts[i]])
        batch = labeled.make_batch([tokens], [0], labeled.plan([tokens], 1)[0])
        weights = np.asarray(weights_of(params, batch.tokens, batch.lengths))[:, 0]
        predicted = encoder.labels[log_probs[i].argmax()]
        probability = np.exp(log_probs[i].max())
        title = f"predicted {predicted} ({probability:.3f}), label {split.labels[i]}"
        pieces = encoder.tokenizer.pieces(tokens)
        shown.append(DocumentWeights(title, pieces, weights[: len(tokens)]))
        pairs = zip(pieces, weights, strict=False)
        weighted = " ".join(f"{piece}[{weight:.2f}]" for piece, weight in pairs)
        lines += [title, f"  {weighted}"]
    print_text("\n".join(lines), "attention weights of some documents")
    draw_attention(path, shown)
