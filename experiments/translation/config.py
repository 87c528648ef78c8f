"""The settings of the translation command."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Self

from experiments.common import job, recurrent
from experiments.common.devices import DevicesConfig
from experiments.common.errors import UserError
from experiments.common.line_io import InputOutputConfig
from experiments.common.optimizer import OptimizerConfig
from experiments.common.own_files import (
    ONE_OR_THREE,
    check_columns,
    check_files,
    columns_setting,
)
from experiments.common.sampling import SamplingConfig
from experiments.common.settings import Settings, setting
from experiments.common.workdir import RunConfig
from experiments.translation.bleu import TOKENIZERS
from seqjax import decoding
from seqjax.data import parallel

LENGTH_PENALTIES: dict[str, Callable[[float], Any]] = {
    "none": lambda alpha: decoding.no_penalty,
    "power": decoding.power_penalty,
    "gnmt": decoding.gnmt_penalty,
    "reward": decoding.word_reward,
}


@dataclasses.dataclass(frozen=True)
class DataConfig(Settings):
    """The sentence pairs and their tokens."""

    dataset: str = setting("grammar", "Data set to use.", choices=parallel.NAMES)
    corpus: tuple[str, ...] | None = setting(
        None,
        f"Files of lines source<TAB>target, or tables of pairs (see --columns), to use "
        f"instead of a data set: {ONE_OR_THREE}",
        resumable=True,  # the checksum of the data decides
    )
    columns: tuple[str, ...] | None = columns_setting(
        "source,target", "those in an object translation, else source and target"
    )
    source_file: tuple[str, ...] | None = setting(
        None,
        "File of source sentences to use instead of a data set, or three files "
        "train,valid,test.",
        resumable=True,
    )
    target_file: tuple[str, ...] | None = setting(
        None, "Translations of --source_file, line by line.", resumable=True
    )
    swap: bool = setting(
        False, "Whether to translate from the second language into the first."
    )
    max_pairs: int = setting(
        0, "Number of pairs to train on, from the first; 0 uses all.", minimum=0
    )
    level: str = setting(
        "word", "What a token is.", choices=("word", "char", "subword")
    )
    clean: bool = setting(
        True,
        "Whether sentences are lower-cased and their punctuation is spaced; by default "
        "only with --level=word.",
    )
    normalization: str = setting(
        "none",
        "Unicode normalization of all sentences, the references included; none leaves "
        "every character as it is.",
        choices=("none", "nfc", "nfkc"),
    )
    min_freq: int = setting(
        2, "Tokens that are less frequent than this become <unk>.", minimum=1
    )
    vocab_size: int = setting(4000, "Maximum number of subwords.", minimum=10)
    joint_vocab: bool = setting(
        False, "Whether both languages have one vocabulary and one embedding table."
    )
    subword_sampling: float = setting(
        0.0,
        "Exponent of the probabilities from which each epoch draws the segmentations "
        "into subwords; 0 always takes the most probable one.",
        minimum=0,
    )
    max_length: int = setting(
        60,
        "Maximum number of tokens of a training sentence.",
        minimum=1,
        maximum=500,
    )
    truncate: bool = setting(
        False,
        "Whether longer training sentences are truncated; by default their pairs are "
        "left out.",
    )

    def check(self) -> None:
        check_files("corpus", self.corpus)
        check_columns(self.columns, "source,target", "corpus", self.corpus)
        check_files("source_file", self.source_file)
        check_files("target_file", self.target_file)
        if (self.source_file is None) != (self.target_file is None):
            raise UserError("--source_file and --target_file belong together.")
        if self.source_file is not None and self.corpus is not None:
            raise UserError("--corpus and --source_file exclude each other.")
        if self.subword_sampling and self.level != "subword":
            raise UserError("--subword_sampling needs --level=subword.")


@dataclasses.dataclass(frozen=True)
class ModelConfig(recurrent.RecurrentConfig):
    """The layers of encoder and decoder, and what connects them."""

    bidirectional: bool = setting(
        True,
        "Whether each layer of the encoder reads the sentence in both directions, with "
        "half of the hidden units each.",
    )
    embed_size: int = setting(64, "Size of an embedding.", minimum=1, maximum=10**6)
    attention: str = setting(
        "general",
        "Score function of the attention.",
        choices=("none", "dot", "general", "additive"),
    )
    input_feeding: bool = setting(
        True, "Whether the decoder reads its previous attention output."
    )
    bridge: str = setting(
        "linear",
        "Initial state of the decoder: the encoder's last state, a linear layer of it, "
        "or zero.",
        choices=("copy", "linear", "zero"),
    )
    tie_embeddings: bool = setting(
        False, "Whether the softmax weights are the target embeddings."
    )

    def check(self) -> None:
        if self.bidirectional and self.hidden_size % 2:
            raise UserError(
                f"--bidirectional halves --hidden_size, which must be even, got "
                f"{self.hidden_size}."
            )


@dataclasses.dataclass(frozen=True)
class TrainConfig(job.TrainConfig):
    """The length of a run, its loss and its validation."""

    batch_tokens: int = setting(
        0,
        "Number of tokens in a minibatch on either side, padding included; 0 fixes the "
        "number of pairs by --batch_size instead.",
        minimum=0,
    )
    label_smoothing: float = setting(
        0.0,
        "Share of the target probability that is spread over the vocabulary.",
        minimum=0,
        maximum=0.99,
    )
    scheduled_sampling: float = setting(
        0.0,
        "Probability that an input of the decoder is drawn from its own prediction.",
        minimum=0,
        maximum=1,
    )
    accumulate: int = setting(
        1, "Number of minibatches whose mean gradient makes one update.", minimum=1
    )
    criterion: str = setting(
        "loss",
        "Validation number that decides which checkpoint is the best.",
        choices=("loss", "bleu"),
    )
    valid_sentences: int = setting(
        500,
        "Number of validation sentences to translate for --criterion=bleu.",
        minimum=1,
    )


@dataclasses.dataclass(frozen=True)
class DecodeConfig(SamplingConfig):
    """The search for translations."""

    temperature: float = setting(
        0.0,
        "Temperature of sampling; 0 searches for the best translation instead.",
        minimum=0,
        resumable=True,
    )
    beam_size: int = setting(
        5,
        "Number of hypotheses that beam search keeps; 1 is greedy search.",
        minimum=1,
        maximum=1000,
        resumable=True,
    )
    n_best: int = setting(
        1,
        "Number of translations per sentence.",
        minimum=1,
        maximum=1000,
        resumable=True,
    )
    length_penalty: str = setting(
        "power",
        "Score of a translation of n tokens with log probability p: p (none), "
        "p / n**alpha (power), p / ((5 + n) / 6)**alpha (gnmt) or p + alpha * n "
        "(reward).",
        choices=list(LENGTH_PENALTIES),
        resumable=True,
    )
    alpha: float = setting(
        0.75, "Strength of --length_penalty, see there.", resumable=True
    )
    coverage: float = setting(
        0.0,
        "Weight of the penalty for source tokens without attention (GNMT's beta).",
        minimum=0,
        resumable=True,
    )
    min_length: int = setting(
        0, "Minimum number of tokens of a translation.", minimum=0, resumable=True
    )
    no_repeat_ngram: int = setting(
        0,
        "Length of the n-grams that a translation must not repeat; 0 allows all "
        "repetitions.",
        minimum=0,
        resumable=True,
    )
    decode_batch: int = setting(
        32,
        "Number of sentences that are translated at a time.",
        minimum=1,
        resumable=True,
    )

    def check(self) -> None:
        if self.n_best > self.beam_size and not self.temperature:
            raise UserError(
                f"--n_best={self.n_best} needs a --beam_size of at least {self.n_best}."
            )


@dataclasses.dataclass(frozen=True)
class ScoreConfig(Settings):
    """How translations are scored."""

    tokenize: str | None = setting(
        None,
        "Tokenization of BLEU by sacrebleu; if none is given, zh for Chinese, ja-mecab "
        "for Japanese, char for other scripts without spaces, else 13a.",
        choices=TOKENIZERS,
        resumable=True,
    )


@dataclasses.dataclass(frozen=True)
class FilesConfig(InputOutputConfig):
    """The files and models that translation reads, and what it writes."""

    references: str | None = setting(
        None,
        "File of the translations of --input, to evaluate with.",
        resumable=True,
    )
    ensemble: tuple[str, ...] | None = setting(
        None,
        "Workdirs of further models with the same settings, whose probabilities are "
        "averaged with those of the model.",
        resumable=True,
    )
    figures: int = setting(
        3,
        "Number of test sentences whose attention is drawn.",
        minimum=0,
        maximum=100,
        resumable=True,
    )
    attention_dir: str | None = setting(
        None,
        "Folder for figures of the attention of each translated line.",
        resumable=True,
    )

    def check(self) -> None:
        super().check()
        if self.references is not None and self.input is None:
            raise UserError("--references needs --mode=evaluate and --input.")


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """All settings of the command."""

    run: RunConfig = RunConfig(workdir="runs/translation")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig(cell="gru", hidden_size=128, dropout=0.0)
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=0.003)
    train: TrainConfig = TrainConfig(epochs=12, batch_size=64)
    devices: DevicesConfig = DevicesConfig()
    decode: DecodeConfig = DecodeConfig()
    score: ScoreConfig = ScoreConfig()
    files: FilesConfig = FilesConfig()

    @classmethod
    def defaults(cls, given: Mapping[str, Any]) -> Self:
        """The defaults; the cleaning is for words only."""
        level = given.get("level", cls().data.level)
        return cls().replace(clean=level == "word")

    def check(self) -> None:
        if self.model.attention == "none":
            for name, value in (
                ("attention_dir", self.files.attention_dir),
                ("coverage", self.decode.coverage),
            ):
                if value:
                    raise UserError(f"--{name} needs a model with attention.")
