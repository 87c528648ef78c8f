"""The settings of the speech command."""

import dataclasses

from experiments.common.devices import DevicesConfig
from experiments.common.errors import UserError
from experiments.common.line_io import InputOutputConfig
from experiments.common.optimizer import OptimizerConfig
from experiments.common.own_files import check_files
from experiments.common.recurrent import RecurrentConfig
from experiments.common.settings import Settings, setting
from experiments.common.train_on_valid import TrainOnValidConfig, check_selection
from experiments.common.workdir import RunConfig
from seqjax.audio.front_end import NORMALIZATIONS
from seqjax.data import speech


@dataclasses.dataclass(frozen=True)
class DataConfig(Settings):
    """The recordings, their labels, and how recordings are joined."""

    dataset: str = setting("syllables", "Data set to use.", choices=tuple(speech.NAMES))
    wav_dir: str | None = setting(
        None,
        "Folder of wav files to use instead of a data set, whose words --transcripts "
        "has, or of those that --mode=evaluate --input=FILE names.",
        resumable=True,  # the checksum of the data decides
    )
    transcripts: tuple[str, ...] | None = setting(
        None,
        "File of lines file<TAB>words for --wav_dir, or three files joined by commas: "
        "train, valid, test.",
        resumable=True,
    )
    speaker_out: str | None = setting(
        None, "Speaker of fsdd who is held out as the test set."
    )
    valid_speaker: str | None = setting(
        None, "Speaker of fsdd who is held out as the validation set."
    )
    min_words: int = setting(
        1, "Smallest number of recordings joined to an utterance.", minimum=1
    )
    max_words: int = setting(
        1,
        "Largest number of recordings joined to an utterance; 1 joins none.",
        minimum=1,
        maximum=100,
    )
    join: int = setting(
        0,
        "Largest number of recordings joined to an utterance in training, if it is "
        "above --max_words.",
        minimum=0,
        maximum=100,
    )
    units: str = setting("letters", "What a label is.", choices=("letters", "words"))

    @property
    def most_joined(self) -> int:
        """Largest number of recordings in an utterance of training."""
        return max(self.join, self.max_words)

    def check(self) -> None:
        check_files("transcripts", self.transcripts)
        is_fsdd = self.dataset == "fsdd" and not self.transcripts
        if (self.speaker_out or self.valid_speaker) and not is_fsdd:
            raise UserError("--speaker_out and --valid_speaker need --dataset=fsdd.")
        if self.min_words > self.max_words:
            raise UserError(
                f"--min_words={self.min_words} is above --max_words={self.max_words}."
            )


@dataclasses.dataclass(frozen=True)
class FeatureConfig(Settings):
    """The features that the network reads."""

    features: str = setting(
        "logmel",
        "Features that the network reads.",
        choices=("logmel", "mfcc", "both"),
    )
    num_mels: int = setting(40, "Number of mel filters.", minimum=1, maximum=128)
    num_cepstra: int = setting(13, "Number of cepstra of mfcc.", minimum=1, maximum=128)
    normalized: str = setting(
        "all",
        "Features that share a mean and a variance over an utterance: all, each alone, "
        "or none.",
        choices=NORMALIZATIONS,
    )
    floor: float = setting(
        1e-2,
        "Constant added to the mel bands of samples scaled to power 1, before the "
        "logarithm.",
        minimum=1e-9,
    )
    deltas: bool = setting(False, "Whether to append the deltas of the features.")

    def check(self) -> None:
        if self.features != "logmel" and self.num_cepstra > self.num_mels:
            raise UserError(
                f"--num_cepstra={self.num_cepstra} is above --num_mels={self.num_mels}."
            )


@dataclasses.dataclass(frozen=True)
class AugmentationConfig(Settings):
    """Random changes of recordings and features in training, new in each epoch."""

    speed: float = setting(
        0.0, "Largest relative change of the playback speed.", minimum=0, maximum=1
    )
    tempo: float = setting(
        0.0,
        "Largest relative change of the tempo at constant pitch.",
        minimum=0,
        maximum=2,
    )
    noise: float = setting(
        0.0,
        "Largest level of added noise, relative to the loudness.",
        minimum=0,
        maximum=10,
    )
    tilt: float = setting(
        0.0,
        "Standard deviation of the slope and curvature added to the spectrum.",
        minimum=0,
    )
    warp: float = setting(
        0.0,
        "Largest relative change of the frequencies (vocal tract length perturbation).",
        minimum=0,
        maximum=1,
    )
    time_mask: int = setting(
        0,
        "Largest number of frames in each of two time masks; 0 turns them off.",
        minimum=0,
    )
    band_mask: int = setting(
        0,
        "Largest number of features in each of two band masks; 0 turns them off.",
        minimum=0,
        maximum=256,
    )


@dataclasses.dataclass(frozen=True)
class ModelConfig(RecurrentConfig):
    """The recurrent layers and their input."""

    stacking: int = setting(
        2, "Number of 10 ms frames that one step reads.", minimum=1, maximum=100
    )


@dataclasses.dataclass(frozen=True)
class TrainConfig(TrainOnValidConfig):
    """The length of a run and its minibatches."""

    epochs: int = setting(12, "Number of passes over the recordings.", minimum=1)
    batch_size: int = setting(16, "Number of utterances in a minibatch.", minimum=1)


@dataclasses.dataclass(frozen=True)
class DecodeConfig(Settings):
    """How labels become words, and what is shown."""

    beam_size: int = setting(
        10,
        "Number of prefixes in the beam search; 1 is greedy.",
        minimum=1,
        maximum=1000,
        resumable=True,
    )
    limit_words: bool = setting(
        False,
        "Whether to prefer hypotheses with as many words as --min_words to --max_words "
        "training recordings have.",
        resumable=True,
    )
    examples: int = setting(
        3,
        "Number of test utterances that are shown.",
        minimum=0,
        maximum=8,
        resumable=True,
    )

    def check(self) -> None:
        if self.limit_words and self.beam_size == 1:
            raise UserError("--limit_words needs a --beam_size above 1 to choose from.")


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """All settings of the command."""

    run: RunConfig = RunConfig(workdir="runs/speech")
    data: DataConfig = DataConfig()
    features: FeatureConfig = FeatureConfig()
    augmentation: AugmentationConfig = AugmentationConfig()
    model: ModelConfig = ModelConfig(cell="gru", bidirectional=True, hidden_size=64)
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=0.006)
    train: TrainConfig = TrainConfig()
    devices: DevicesConfig = DevicesConfig()
    decode: DecodeConfig = DecodeConfig()
    files: InputOutputConfig = InputOutputConfig()

    def check(self) -> None:
        if self.data.valid_speaker and self.train.train_on_valid:
            raise UserError(
                "--valid_speaker holds a speaker out of training, which "
                "--train_on_valid contradicts."
            )
        data, has_words = self.data, self.data.transcripts or self.files.input
        if (data.wav_dir and not has_words) or (data.transcripts and not data.wav_dir):
            raise UserError("--wav_dir and --transcripts must be given together.")
        check_selection(self.train, self.optimizer)
        self._check_augmentation()

    def _check_augmentation(self) -> None:
        augmentation, features = self.augmentation, self.features
        for name, kinds in (("tilt", ("logmel", "both")), ("warp", ("logmel",))):
            fits = features.features in kinds and not features.deltas
            if getattr(augmentation, name) and not fits:
                raise UserError(
                    f"--{name} needs --features={' or '.join(kinds)} without --deltas."
                )
        masks = augmentation.time_mask or augmentation.band_mask
        if masks and features.normalized == "none":
            raise UserError(
                "--time_mask and --band_mask set features to zero, which needs their "
                "mean to be zero: not with --normalized=none."
            )
