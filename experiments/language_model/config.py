"""The settings of the language model command."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from experiments.common import job, recurrent
from experiments.common.adaptation import AdaptationConfig
from experiments.common.backprop import BackpropConfig
from experiments.common.devices import DevicesConfig
from experiments.common.errors import UserError
from experiments.common.language_model import LanguageModelConfig
from experiments.common.line_io import OutputConfig
from experiments.common.optimizer import OptimizerConfig
from experiments.common.sampling import LanguageSamplingConfig
from experiments.common.settings import Settings, entries, setting
from experiments.common.text import PromptConfig, TextConfig, check_level, check_prompt
from experiments.common.workdir import RunConfig
from seqjax.data.text_tokenizer import LEVELS, NUM_SUBWORDS

SIZES = ("batch_size", "num_steps")  # of a minibatch
CHUNK = 4096  # words whose logits are held at a time
CELLS = {**recurrent.CELLS, "numpy_rnn": recurrent.CELLS["rnn"]}


@dataclasses.dataclass(frozen=True)
class DataConfig(TextConfig):
    """The corpus and its tokens."""

    level: str = setting("char", "What a token is.", choices=LEVELS)
    subwords: int = setting(
        NUM_SUBWORDS, "Largest number of subwords of --level=subword.", minimum=10
    )
    eos_per_line: bool = setting(
        True, "Whether words and subwords have the token <eos> at the end of a line."
    )

    def check(self) -> None:
        super().check()
        check_level(self.level, self.min_freq, self.subwords, self.eos_per_line)


@dataclasses.dataclass(frozen=True)
class InputConfig(Settings):
    """The text that a trained model reads."""

    input: str | None = setting(
        None,
        "Text to read: --mode=evaluate scores it in place of the held-out parts, and "
        "--mode=score gives the log probability of each token; - is standard input.",
        resumable=True,
    )


@dataclasses.dataclass(frozen=True)
class GenerateConfig(Settings):
    """How many texts are generated, and where they end."""

    num_samples: int = setting(
        1,
        "Number of texts that --mode=generate makes.",
        minimum=1,
        maximum=1000,
        resumable=True,
    )
    stop: tuple[str, ...] | None = setting(
        None,
        "Strings that end a generated text, joined by commas; they are left out.",
        resumable=True,
    )


@dataclasses.dataclass(frozen=True)
class ModelConfig(LanguageModelConfig):
    """The recurrent layers, the embedding and the softmax."""

    cell: str = setting(
        "lstm",
        "Recurrent cell of every layer; numpy_rnn is a plain RNN whose gradients are "
        "written out in NumPy.",
        choices=[*CELLS, "mogrifier"],
    )
    softmax: str = setting(
        "auto",
        "Softmax over the vocabulary: full holds the logits of all words, chunked has "
        "the same values and holds those of some words at a time, adaptive spends few "
        "numbers on clusters of rare words; auto is full, or chunked where the logits "
        "of a minibatch are more than 2**27 numbers.",
        choices=("auto", "full", "chunked", "adaptive"),
    )
    softmax_chunk: int = setting(
        CHUNK,
        "Number of words whose logits are held at a time by --softmax=chunked, "
        "adaptive and, where it is chunked, auto.",
        minimum=1,
    )
    clusters: tuple[int, ...] = setting(
        (),
        "First words of the clusters of --softmax=adaptive, joined by commas, where "
        "0 is <unk> and words are numbered by falling frequency; by default those at a "
        "twentieth, with at least 100 frequent words, and a quarter of the vocabulary.",
        minimum=1,
    )


@dataclasses.dataclass(frozen=True)
class TrainConfig(job.TrainConfig):
    """The length of a run, and how it reads the text."""

    epochs: int = setting(9, "Number of passes over the training text.", minimum=1)
    batch_size: int = setting(16, "Number of sequences in a minibatch.", minimum=1)
    num_steps: int = setting(
        48, "Number of tokens to backpropagate through.", minimum=1
    )
    sampling: str = setting(
        "sequential",
        "Order of the minibatches: consecutive windows with the state carried over, or "
        "windows in random order.",
        choices=("sequential", "random"),
    )
    vary_steps: bool = setting(
        False,
        "Whether minibatches differ in length: with probability 0.95 around "
        "--num_steps, otherwise around half of it, the learning rate in proportion.",
    )
    partial_shuffle: bool = setting(
        False,
        "Whether, at each epoch, each row of the minibatches begins at another of its "
        "windows and goes on at its first after its last.",
    )
    train_tokens: int = setting(
        0,
        "Number of tokens to train on instead of whole epochs; 0 counts epochs.",
        minimum=0,
    )
    shrink: tuple[str, ...] = setting(
        SIZES,
        "Settings that are lowered where the training text is too short for a "
        "minibatch; by default those that are not given.",
        choices=SIZES,
        resumable=True,
    )
    eval_rows: int = setting(
        1, "Number of rows that a held-out text is split into.", minimum=1
    )
    ngram_order: int = setting(
        8,
        "Order of the n-gram model whose perplexity is reported for comparison; 0 "
        "reports none. The default is 5 for words and subwords.",
        minimum=0,
        maximum=20,
        resumable=True,
    )


# What the hand-written gradients of --cell=numpy_rnn cover.
NUMPY_RNN = {
    "embed_size": 0,
    "num_layers": 1,
    "dropout": 0.0,
    "locked_dropout": False,
    "bfloat16": False,
    "zoneout": (),
    "weight_norm": False,
    "mixtures": 0,
    "embed_dropout": 0.0,
    "weight_dropout": 0.0,
    "activation_penalty": 0.0,
    "temporal_penalty": 0.0,
    "input_dropout": None,
    "output_dropout": None,
    "layer_dropout": None,
    "last_size": 0,
    "optimizer": "sgd",
    "weight_decay": 0.0,
    "learning_rate": 0.2,
    "schedule": "constant",
    "clip_norm": 0.0,
    "tie_embeddings": False,
    "averaging": "none",
    "vary_steps": False,
    "softmax": "auto",
    "backprop": "full",
    "on_nonfinite": "stop",
    "mesh": None,
    "num_processes": 1,
}


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """All settings of the command."""

    run: RunConfig = RunConfig(workdir="runs/language_model")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig(hidden_size=448, embed_size=448, dropout=0.35)
    optimizer: OptimizerConfig = OptimizerConfig(
        optimizer="adamw", learning_rate=0.003, weight_decay=0.03
    )
    backprop: BackpropConfig = BackpropConfig()
    train: TrainConfig = TrainConfig()
    devices: DevicesConfig = DevicesConfig()
    prompt: PromptConfig = PromptConfig()
    decode: LanguageSamplingConfig = LanguageSamplingConfig()
    generate: GenerateConfig = GenerateConfig()
    adaptation: AdaptationConfig = AdaptationConfig()
    files: InputConfig = InputConfig()
    output: OutputConfig = OutputConfig()

    @classmethod
    def defaults(cls, given: Mapping[str, Any]) -> Self:
        """The defaults: no given size shrinks; numpy_rnn has those that it supports."""
        config = cls().replace(shrink=[name for name in SIZES if name not in given])
        if given.get("level", config.data.level) in ("word", "subword"):
            config = config.replace(ngram_order=5)
        if given.get("cell") == "numpy_rnn":
            config = config.replace(**NUMPY_RNN)
        if given.get("optimizer", config.optimizer.optimizer) != "adamw":
            config = config.replace(weight_decay=0.0)
        return config

    def check(self) -> None:
        check_prompt(self.data, self.prompt)
        if self.train.sampling == "random":
            for name in ("vary_steps", "partial_shuffle"):
                if getattr(self.train, name):
                    raise UserError(f"--{name} needs --sampling=sequential.")
        if self.train.vary_steps and self.train.partial_shuffle:
            raise UserError("--vary_steps and --partial_shuffle exclude each other.")
        if self.train.vary_steps and self.backprop.backprop != "full":
            raise UserError("--vary_steps needs --backprop=full.")
        if self.model.clusters and self.model.softmax != "adaptive":
            raise UserError("--clusters needs --softmax=adaptive.")
        if self.model.softmax == "full" and self.model.softmax_chunk != CHUNK:
            raise UserError("--softmax_chunk needs another softmax than full.")
        if self.model.cell == "numpy_rnn":
            self._check_numpy_rnn()

    def _check_numpy_rnn(self) -> None:
        values = {entry.name: entry.value for entry in entries(self)}
        for name, only in NUMPY_RNN.items():
            if values[name] != only and name != "learning_rate":
                raise UserError(
                    f"--cell=numpy_rnn supports only --{name}={only}, got "
                    f"{values[name]}; use --cell=rnn for other values."
                )
