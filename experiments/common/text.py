"""A text corpus from settings: its tokens, and the prompt that a model continues."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from experiments.common.console import note
from experiments.common.errors import UserError
from experiments.common.settings import Settings, setting
from seqjax.data import corpora
from seqjax.data.text import detokenize, keep_letters, tokenize
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
    corpus: str | None = setting(
        None,
        "UTF-8 text file to use instead of a data set.",
        resumable=True,  # the checksum of the data decides
    )
    level: str = setting("char", "What a token is.", choices=("char", "word"))
    min_freq: int = setting(
        1, "Tokens that are less frequent than this become <unk>.", minimum=1
    )
    max_tokens: int = setting(
        0, "Number of training tokens to use, from the first; 0 uses all.", minimum=0
    )


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
        corpus = corpora.load_file(config.corpus)
    else:
        corpus = corpora.load(config.dataset, data_dir)
    return corpus, corpora.tokenize_corpus(
        corpus, config.level, config.min_freq, config.max_tokens
    )


def check_prompt(text: TextConfig, prompt: PromptConfig) -> None:
    """Refuse a prompt without tokens."""
    if prompt.prompt is not None and not _prompt_tokens(text, prompt.prompt):
        raise UserError("--prompt holds no token; give at least one.")


def _prompt_tokens(text: TextConfig, prompt: str | None) -> list[str]:
    if prompt is None:
        prompt = PROMPTS[text.dataset] if text.corpus is None else "\n"
    elif text.dataset == "time_machine" and text.corpus is None:
        prompt = keep_letters(prompt)
    return tokenize(prompt, text.level)


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
