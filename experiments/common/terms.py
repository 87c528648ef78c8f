"""What the words in the tables of the commands mean, one line each."""

import re
from collections.abc import Iterable

# A term explains itself below a table where a title, a header or a row's name holds it.
TERMS = {
    "perplexity": (
        "exp of the mean negative log-probability: as uncertain as a choice among so "
        "many; lower is better"
    ),
    "bits per character": (
        "mean negative log2-probability of a character; lower is better"
    ),
    "unknown": "tokens that are not in the vocabulary, read as <unk>",
    "Kneser-Ney": "n-gram model that interpolates with all shorter contexts",
    "Laplace": "n-gram model that adds eps to every count",
    "Zipf exponent": "a in frequency ~ rank^-a, fitted over the ranks in parentheses",
    "reversed chain": "the same chain, by Bayes' rule, reading the text from its end",
    "distance": (
        "how far the distribution so many steps ahead is from the stationary one (0 to "
        "1)"
    ),
    "log likelihood": "log-probability of all tokens, in nats; higher is better",
    "BLEU": ("word sequences shared with the references, 0 to 100; higher is better"),
    "chrF": (
        "character sequences shared with the references, 0 to 100; higher is better"
    ),
    "signature": (
        "how sacrebleu computed BLEU: only scores of equal signatures compare"
    ),
    "accuracy": "share of correct predictions",
    "naive Bayes": "baseline that counts the words of each label",
    "most frequent label": "baseline that always predicts this label",
    "most frequent tag": "baseline: the tag that a word most often has in training",
    "macro F1": "mean over the labels of the harmonic mean of precision and recall",
    "f1": "harmonic mean of precision and recall of spans with right ends and type",
    "precision": "share of the predicted spans that are right",
    "recall": "share of the true spans that are found",
    "word error rate": (
        "substituted, left out and inserted words per spoken word; lower is better"
    ),
    "letter error rate": "the same for letters and the spaces between words",
    "greedy": "without the beam search",
    "reduction": "how much lower the perplexity is than that of the n-gram model",
    "valid form": "share with an even number of lines of equal and allowed length",
    "absent from training": "share of new character sequences: low means copying",
    "valid MSE": (
        "mean squared error on the validation part; it chooses the best model (*)"
    ),
    "MSE": "mean squared error on the test part; lower is better",
    "MAE": "mean absolute error on the test part; lower is better",
    "MASE": (
        "MAE divided by that of the seasonal naive forecast in training; below 1 is "
        "better"
    ),
    "coverage": (
        "share of true values within the interval; it should equal the interval's level"
    ),
    "free-running": "forecasts from the model's own forecasts, never from data",
    "from t": "t is the number of a row",
    "k": "how many rows after the last one that a forecast reads its value lies",
    "dL/dh_t": "gradient of the loss at step T with respect to the state at step t",
    "per step": "factor by which the norm shrinks or grows over one step",
}


def explanations(names: Iterable[str], cells: Iterable[str] = ()) -> list[str]:
    """A line for each term in a table, "term: what it means".

    Args:
      names: texts that may hold terms anywhere.
      cells: texts that may be the user's: only those that begin with a term count.

    >>> explanations(["test chrF", "seconds"])
    ['chrF: character sequences shared with the references, 0 to 100; higher is better']
    """
    text = "\n".join(names)
    found = {term for term in TERMS if re.search(_pattern(term), text)}
    for cell in cells:
        found |= {term for term in TERMS if re.match(_pattern(term), cell)}
    return [f"{term}: {meaning}" for term, meaning in TERMS.items() if term in found]


def _pattern(term: str) -> str:
    """A term as whole words."""
    return rf"(?<!\w){re.escape(term)}(?!\w)"
