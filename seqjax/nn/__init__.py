"""Parts of networks: layers, attention and its cell, losses, masks, forecast heads."""

from seqjax.nn import (
    activations,
    adaptive_softmax,
    attention,
    attention_cell,
    forecast_heads,
    layers,
    losses,
    masks,
    mixture_softmax,
    regularization,
)
from seqjax.nn.activations import tanh
from seqjax.nn.attention import Attention, masked_softmax
from seqjax.nn.attention_cell import AttentionCell
from seqjax.nn.forecast_heads import Forecast, Gaussian, Point, Quantiles
from seqjax.nn.layers import (
    DenseParams,
    dense,
    dense_init,
    dropout,
    embed,
    embed_init,
)
from seqjax.nn.losses import cross_entropy, smoothed_cross_entropy
from seqjax.nn.masks import valid_steps

__all__ = [
    "Attention",
    "AttentionCell",
    "DenseParams",
    "Forecast",
    "Gaussian",
    "Point",
    "Quantiles",
    "activations",
    "adaptive_softmax",
    "attention",
    "attention_cell",
    "cross_entropy",
    "dense",
    "dense_init",
    "dropout",
    "embed",
    "embed_init",
    "forecast_heads",
    "layers",
    "losses",
    "masked_softmax",
    "masks",
    "mixture_softmax",
    "regularization",
    "smoothed_cross_entropy",
    "tanh",
    "valid_steps",
]
