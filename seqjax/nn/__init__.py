"""Parts of networks without a loop over time: layers, attention, losses, masks, heads.

`nn.attention_cell` is the exception: a cell. It builds on `seqjax.cells`, which builds
on this package, so import `AttentionCell` from its own module.
"""

from seqjax.nn import activations, attention, forecast_heads, layers, losses, masks
from seqjax.nn.activations import tanh
from seqjax.nn.attention import Attention, masked_softmax
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
    "DenseParams",
    "Forecast",
    "Gaussian",
    "Point",
    "Quantiles",
    "activations",
    "attention",
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
    "smoothed_cross_entropy",
    "tanh",
    "valid_steps",
]
