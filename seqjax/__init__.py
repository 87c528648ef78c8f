"""seqjax: recurrent sequence models in JAX.

The package in reading order. A file imports only from files above it.

    data/            text, vocabularies, word vectors, tokenizers, corpora, parallel
                     sentences, documents, tagged sentences, poems, series, recordings,
                     minibatches, and generated data (synthetic/); NumPy only
    backend          the devices that programs are built for
    mesh_axes        functions of arrays on any mesh of devices
    cell_protocol    Cell, the interface of a recurrent cell
    nn/              layers, activations, losses, masks, attention, forecast heads
    metrics          accuracy, F1, spans, edit distances, forecast errors
    cell_parts       initial weights and the input projection
    cells            RNN, GRU, LSTM
    lstm_variants    LSTMs with normalization, peepholes, coupled gates, a Mogrifier
    cell_wrappers    Zoneout, WeightNorm
    engine/          how `unroll` runs: the fused loop and its backward pass
    recurrence       unroll, Stack, Bidirectional
    truncation       truncated backpropagation through time
    gradient_flow    the norms of gradients at earlier time steps
    decoding/        sampling, greedy, beam search, exhaustive search, constraints
    structured/      linear chains (HMM, CRF), BIO tags, CTC
    audio/           mel spectrograms, cepstra, augmentation
    baselines/       n-grams, Markov chains, HMM, naive Bayes, autoregression, and the
                     plain RNN in NumPy
    models/          LanguageModel, Seq2Seq, Classifier, Pretraining, Tagger, CTCModel,
                     forecasters
    adaptation/      language models that adapt to the text they read
    training/        TrainState, one step, loops over many steps, averages, evaluation
    sharding         meshes of devices, and arrays on them
    durable          files that are whole or absent
    named_arrays     arrays by name, as safetensors
    sealed           folders of files with their checksums
    model_files      save, load: models as folders
    checkpoint/      save and restore
    interop/         weights and modules of torch, flax, haiku and Keras

Dimension letters: T time, B batch (any leading shape `...`), D input, H hidden, G
gates, V vocabulary, E embedding, S source length, K beam, L length of a hypothesis.
Time comes first, features last, and everything between is batch: `xs [T, ..., D]`,
`lengths [...]`.

Example:

    >>> import jax
    >>> import seqjax
    >>> cell = seqjax.LSTM(hidden_size=8)
    >>> params = cell.init(jax.random.key(0), input_size=3)
    >>> xs = jax.numpy.zeros((5, 2, 3))
    >>> state, ys = seqjax.unroll(cell, params, xs, lengths=jax.numpy.array([5, 2]))
    >>> state.h.shape, ys.shape
    ((2, 8), (5, 2, 8))
"""

import importlib
from typing import TYPE_CHECKING, Any

from seqjax import (
    adaptation,
    audio,
    baselines,
    decoding,
    metrics,
    models,
    nn,
    structured,
)
from seqjax.cell_protocol import Cell
from seqjax.cell_wrappers import WeightNorm, Zoneout
from seqjax.cells import GRU, LSTM, RNN, LSTMState
from seqjax.decoding import Hypotheses
from seqjax.lstm_variants import (
    CoupledLSTM,
    LayerNormLSTM,
    MogrifierLSTM,
    PeepholeLSTM,
)
from seqjax.models import Classifier, CTCModel, LanguageModel, Seq2Seq, Tagger
from seqjax.nn import Attention, losses
from seqjax.recurrence import Bidirectional, Stack, unroll

if TYPE_CHECKING:
    from seqjax import interop, training
    from seqjax.model_files import load, save
    from seqjax.training import TrainState
else:
    # Training imports flax and optax, which take half as long as jax does.
    _LATER = {
        "TrainState": "training",
        "interop": "interop",
        "load": "model_files",
        "save": "model_files",
        "training": "training",
    }

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(f"seqjax.{_LATER[name]}")
        value = module if name == _LATER[name] else getattr(module, name)
        globals()[name] = value
        return value


__version__ = "0.2.0"

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Attention",
    "Bidirectional",
    "CTCModel",
    "Cell",
    "Classifier",
    "CoupledLSTM",
    "Hypotheses",
    "LSTMState",
    "LanguageModel",
    "LayerNormLSTM",
    "MogrifierLSTM",
    "PeepholeLSTM",
    "Seq2Seq",
    "Stack",
    "Tagger",
    "TrainState",
    "WeightNorm",
    "Zoneout",
    "adaptation",
    "audio",
    "baselines",
    "decoding",
    "interop",
    "load",
    "losses",
    "metrics",
    "models",
    "nn",
    "save",
    "structured",
    "training",
    "unroll",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
