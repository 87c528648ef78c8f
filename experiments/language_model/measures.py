"""The numbers of an evaluated text, also those that compare levels of tokens."""

from typing import Any

from seqjax import metrics
from seqjax.data.text_tokenizer import TextSize


def measures(
    part: str, level: str, size: TextSize, total: float, count: float
) -> dict[str, float]:
    """The perplexities of a text and its bits, by name.

    The bits of a token are spread over its characters or bytes. An unknown word costs
    what "<unk>" costs, which flatters small vocabularies: the table shows the share of
    unknown tokens beside it.

    Args:
      part: the first word of the names.
      level: of the tokens.
      size: of the text.
      total: the loss in nats of all tokens but the first.
      count: their number.
    """
    words = count if level == "word" else max(size.words - 1, 1)
    characters = count if level == "char" else size.characters
    bytes_ = count if level == "byte" else size.bytes
    return {
        f"{part}_perplexity": metrics.perplexity(total, count),
        f"{part}_perplexity_per_word": metrics.perplexity(total, words),
        f"{part}_bits_per_character": metrics.bits_per_character(total, characters),
        f"{part}_bits_per_byte": metrics.bits_per_character(total, bytes_),
    }


def rows_of(found: dict[str, float]) -> list[tuple[str, Any]]:
    """Rows of a table. A perplexity per word may be beyond every column."""
    return [
        (name.replace("_", " "), f"{x:.4f}" if x < 1e6 else f"{x:.4g}")
        for name, x in found.items()
    ]
