"""The settings of the tokens command."""

import dataclasses

from experiments.common.errors import UserError
from experiments.common.own_files import ONE_OR_THREE, check_files
from experiments.common.settings import Settings, setting
from experiments.common.text import check_level, check_split, split_setting
from seqjax.data.text_tokenizer import LEVELS, NUM_SUBWORDS


@dataclasses.dataclass(frozen=True)
class TokensConfig(Settings):
    """The texts, their tokens and the folder of the token files."""

    corpus: tuple[str, ...] | None = setting(
        None, f"UTF-8 text files to read: {ONE_OR_THREE}"
    )
    output: str = setting("tokens", "Folder that receives the token files.")
    split: tuple[int, ...] = split_setting()
    level: str = setting("word", "What a token is.", choices=LEVELS)
    min_freq: int = setting(
        1, "Tokens that are less frequent than this become <unk>.", minimum=1
    )
    subwords: int = setting(
        NUM_SUBWORDS, "Largest number of subwords of --level=subword.", minimum=10
    )
    eos_per_line: bool = setting(
        True, "Whether words and subwords have the token <eos> at the end of a line."
    )

    def check(self) -> None:
        check_files("corpus", self.corpus)
        if "-" in (self.corpus or ()):
            raise UserError("--corpus is read twice, which standard input cannot be.")
        check_split(self.split, self.corpus)
        check_level(self.level, self.min_freq, self.subwords, self.eos_per_line)


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """All settings of the command."""

    tokens: TokensConfig = TokensConfig()
