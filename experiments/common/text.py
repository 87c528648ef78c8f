"""A text corpus from settings: its tokens, and the prompt that a model continues."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.common.console import note, note_unknown
from experiments.common.errors import UserError
from experiments.common.own_files import (
    ONE_OR_THREE,
    check_columns,
    check_files,
    columns_setting,
)
from experiments.common.settings import Settings, setting
from seqjax.data import corpora
from seqjax.data.tables import read_part
from seqjax.data.text import DataError, detokenize, keep_letters, shown_path, tokenize
from seqjax.data.text_tokenizer import NUM_SUBWORDS, TextTokenizer
from seqjax.data.vocab import EOS

PROMPTS = {
    "python_docs": "The ",
    "time_machine": "time traveller",
    "wikitext2": "The",
    "tang_poems": "春",
}


# The token to begin with where a default prompt is unknown; else the most frequent one.
FIRST_OF_LEVEL = {"byte": 1 + ord(" "), "subword": EOS}


def split_setting() -> Any:
    """The setting of the sizes of the parts of a single file."""
    return setting(
        corpora.SPLIT,
        "Sizes of the parts of a single --corpus for training, validation and test: in "
        "percent if they add up to 100, otherwise in characters, or for --level=byte "
        "in bytes.",
        minimum=1,
    )


def check_level(
    level: str, min_freq: int, num_subwords: int, eos_per_line: bool
) -> None:
    """Refuse settings of tokens that another level has."""
    if level != "subword" and num_subwords != NUM_SUBWORDS:
        raise UserError("--subwords needs --level=subword.")
    if level in ("byte", "subword") and min_freq > 1:
        raise UserError("--min_freq needs --level=char or word.")
    if level in ("char", "byte") and not eos_per_line:
        raise UserError(
            "--noeos_per_line needs --level=word or subword: the end of a line is a "
            "character itself."
        )


def check_split(split: Sequence[int], files: Sequence[str] | None) -> None:
    """Refuse a split that has not three sizes, or that is given for no single file."""
    if len(split) != 3:
        raise UserError(
            f"--split takes three sizes, for training, validation and test, got "
            f"{len(split)}."
        )
    if tuple(split) != corpora.SPLIT and (files is None or len(files) != 1):
        raise UserError("--split needs a --corpus of one file.")


@dataclasses.dataclass(frozen=True)
class TextConfig(Settings):
    """The corpus and its tokens."""

    dataset: str = setting(
        "python_docs", "Data set to use.", choices=tuple(corpora.NAMES)
    )
    corpus: tuple[str, ...] | None = setting(
        None,
        f"UTF-8 text files, or tables of texts (see --columns), to use instead of a "
        f"data set: {ONE_OR_THREE}",
        resumable=True,  # the checksum of the data decides
    )
    columns: tuple[str, ...] | None = columns_setting("text", "text")
    split: tuple[int, ...] = split_setting()
    level: str = setting("char", "What a token is.", choices=("char", "word"))
    min_freq: int = setting(
        1, "Tokens that are less frequent than this become <unk>.", minimum=1
    )
    max_tokens: int = setting(
        0, "Number of training tokens to use, from the first; 0 uses all.", minimum=0
    )

    def check(self) -> None:
        check_files("corpus", self.corpus)
        check_columns(self.columns, "text", "corpus", self.corpus)
        check_split(self.split, self.corpus)


@dataclasses.dataclass(frozen=True)
class PromptConfig(Settings):
    """The text to generate."""

    prompt: str | None = setting(
        None,
        "Text that the generated text continues; a short one that suits the data set "
        "if none is given.",
        resumable=True,
    )
    length: int = setting(
        300, "Number of tokens to generate.", minimum=0, resumable=True
    )


def load_text(
    config: TextConfig,
    data_dir: str | None,
    num_subwords: int = NUM_SUBWORDS,
    line_ends: bool = True,
) -> tuple[corpora.Corpus, corpora.TokenizedCorpus]:
    """The corpus and its tokens; num_subwords, line_ends as `TextTokenizer.train`."""
    if config.corpus is not None:
        by_bytes = config.level == "byte"
        corpus = corpora.load_files(
            config.corpus, config.columns, config.split, by_bytes
        )
    else:
        corpus = corpora.load(config.dataset, data_dir)
    return corpus, corpora.tokenize_corpus(
        corpus,
        config.level,
        config.min_freq,
        config.max_tokens,
        num_subwords,
        line_ends,
    )


def read_input(
    config: TextConfig, path: str, tokenizer: TextTokenizer
) -> tuple[str, np.ndarray]:
    """The text of --input and its tokens, int32 [N], with a note of unknown ones.

    Raises:
      DataError: for a text that cannot be read, or with fewer than 2 tokens.
    """
    part = read_part(path)
    text = _as_data_set(config, corpora.text_of(part, config.columns))
    indices = tokenizer.encode(text)
    if len(indices) < 2:
        raise DataError(
            f"{shown_path(path)} is too short: it has {len(indices)} tokens, at least "
            f"2 are needed."
        )
    if not indices.all():
        note_unknown([(tokenizer.split(text), indices)])
    return text, indices


def held_out_tokens(
    config: TextConfig, path: str | None, data: corpora.TokenizedCorpus
) -> dict[str, np.ndarray]:
    """The tokens to score: of --input as "test", or of the held-out parts."""
    if path is None:
        return {"valid": data.valid, "test": data.test}
    return {"test": read_input(config, path, data.tokenizer)[1]}


def _as_data_set(config: TextConfig, text: str) -> str:
    """A text as the data set of the settings has it."""
    is_letters = config.dataset == "time_machine" and config.corpus is None
    return keep_letters(text) if is_letters else text


def check_prompt(text: TextConfig, prompt: PromptConfig) -> None:
    """Refuse a prompt without tokens."""
    if prompt.prompt is None:
        return
    written = _as_data_set(text, prompt.prompt)
    counted = "char" if text.level in ("char", "byte") else "word"
    if not tokenize(written, counted):
        raise UserError("--prompt holds no token; give at least one.")


class Prompt(NamedTuple):
    """A text to continue, and its tokens."""

    text: str
    indices: np.ndarray  # int32 [N], at least one


def known_prompt(
    text: TextConfig, prompt: PromptConfig, tokenizer: TextTokenizer
) -> Prompt:
    """The prompt, with a note about tokens outside the vocabulary.

    A default prompt with such a token is replaced by the most frequent token.
    """
    written = prompt.prompt
    if written is None:
        written = PROMPTS[text.dataset] if text.corpus is None else "\n"
    written = _as_data_set(text, written)
    indices = tokenizer.encode(written)
    if len(indices) and indices.all():
        return Prompt(written, indices)
    if prompt.prompt is None:
        first = np.array([FIRST_OF_LEVEL.get(tokenizer.level, 1)], np.int32)
        return Prompt(tokenizer.decode(first), first)
    if not len(indices):
        raise UserError("--prompt holds no token; give at least one.")
    tokens = tokenizer.split(written)
    unknown = sorted({t for t, i in zip(tokens, indices, strict=True) if not i})
    note(f"the vocabulary lacks {unknown} of the prompt: read as <unk>.")
    return Prompt(written, indices)


def text_pieces(
    prompt: Prompt, indices: Iterable[int], tokenizer: TextTokenizer
) -> Iterator[str]:
    """A prompt and its continuation as pieces of text.

    Args:
      prompt: from `known_prompt`.
      indices: the tokens that follow.
      tokenizer: of the indices.
    """
    words = tokenizer.split(prompt.text) if tokenizer.level == "word" else None
    yield prompt.text if words is None else detokenize(words, "word")
    yield from tokenizer.stream(indices, prompt.indices.tolist())
