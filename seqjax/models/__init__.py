"""Models: frozen dataclasses with pure methods.

    params = model.init(key)
    outputs = model.apply(params, ...)
    total, count = model.loss(params, batch, key=None)

The average loss of a corpus is the sum of the totals over the sum of the counts. A key
turns dropout on. A model with a carried state (LanguageModel) takes it as `state` and
returns it with its result.
"""

from seqjax.models.classifier import Classifier
from seqjax.models.ctc_model import CTCBatch, CTCModel
from seqjax.models.direct_forecaster import DirectForecaster
from seqjax.models.language_model import LanguageModel
from seqjax.models.pretraining import Pretraining
from seqjax.models.recursive_forecaster import RecursiveForecaster
from seqjax.models.seq2seq import Seq2Seq
from seqjax.models.tagger import Tagger, TaggerBatch, TaggerInputs

__all__ = [
    "CTCBatch",
    "CTCModel",
    "Classifier",
    "DirectForecaster",
    "LanguageModel",
    "Pretraining",
    "RecursiveForecaster",
    "Seq2Seq",
    "Tagger",
    "TaggerBatch",
    "TaggerInputs",
]
