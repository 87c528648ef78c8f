"""A text corpus from settings: its tokens, and the prompt that a model continues."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

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
from seqjax.data.text import (
    DataError,
    detokenize,
    keep_letters,
    shown_path,
    tokenize,
)
from seqjax.data.vocab import Vocab

PROMPTS = {
    "python_docs": "The ",
    "time_machine": "time traveller",
    "wikitext2": "The",
    "tang_poems": "春",
}


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
    config: TextConfig, data_dir: str | None
) -> tuple[corpora.Corpus, corpora.TokenizedCorpus]:
    """The corpus and its tokens."""
    if config.corpus is not None:
        corpus = corpora.load_files(config.corpus, config.columns)
    else:
        corpus = corpora.load(config.dataset, data_dir)
    return corpus, corpora.tokenize_corpus(
        corpus, config.level, config.min_freq, config.max_tokens
    )


def read_input(config: TextConfig, path: str, vocab: Vocab) -> tuple[str, np.ndarray]:
    """The text of --input and its tokens, int32 [N], with a note of unknown ones.

    Raises:
      DataError: for a text that cannot be read, or with fewer than 2 tokens.
    """
    part = read_part(path)
    text = _as_data_set(config, corpora.text_of(part, config.columns))
    tokens = tokenize(text, config.level)
    if len(tokens) < 2:
        raise DataError(
            f"{shown_path(path)} is too short: it has {len(tokens)} tokens, at least 2 "
            f"are needed."
        )
    indices = vocab.encode(tokens)
    note_unknown([(tokens, indices)])
    return text, indices


def held_out_tokens(
    config: TextConfig, path: str | None, data: corpora.TokenizedCorpus
) -> dict[str, np.ndarray]:
    """The tokens to score: of --input as "test", or of the held-out parts."""
    if path is None:
        return {"valid": data.valid, "test": data.test}
    return {"test": read_input(config, path, data.vocab)[1]}


def _as_data_set(config: TextConfig, text: str) -> str:
    """A text as the data set of the settings has it."""
    is_letters = config.dataset == "time_machine" and config.corpus is None
    return keep_letters(text) if is_letters else text


def check_prompt(text: TextConfig, prompt: PromptConfig) -> None:
    """Refuse a prompt without tokens."""
    if prompt.prompt is not None and not _prompt_tokens(text, prompt.prompt):
        raise UserError("--prompt holds no token; give at least one.")


def _prompt_tokens(text: TextConfig, prompt: str | None) -> list[str]:
    if prompt is None:
        prompt = PROMPTS[text.dataset] if text.corpus is None else "\n"
    return tokenize(_as_data_set(text, prompt), text.level)


def known_prompt(text: TextConfig, prompt: PromptConfig, vocab: Vocab) -> list[str]:
    """The tokens of the prompt, with a note about those outside the vocabulary.

    A default prompt with such a token is replaced by the most frequent token.
    """
    tokens = _prompt_tokens(text, prompt.prompt)
    unknown = sorted({token for token in tokens if token not in vocab})
    if unknown and prompt.prompt is None:
        return [vocab.to_tokens(1)]
    if unknown:
        note(f"the vocabulary lacks {unknown} of the prompt: read as <unk>.")
    return tokens


def text_pieces(
    tokens: Sequence[str], indices: Iterable[int], vocab: Vocab, level: str
) -> Iterator[str]:
    """A prompt and its continuation as pieces of text.

    Args:
      tokens: the tokens of the prompt, at least one.
      indices: the tokens that follow, as indices.
      vocab: the vocabulary of the indices.
      level: "char" or "word".
    """
    yield detokenize(tokens, level)
    last = tokens[-1]
    for index in indices:
        token = vocab.to_tokens(index)
        joined = detokenize([last, token], level)
        yield joined.removeprefix(detokenize([last], level))
        last = token
