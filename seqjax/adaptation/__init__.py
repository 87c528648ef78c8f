"""Language models that adapt to the text they read: dynamic evaluation and a cache.

windows    Windows, text_windows, document_windows: a text cut for one row
reader     Reader: the loss of every token, over the carried state
cache      Cache: the neural cache
dynamic    Dynamic, mean_squares: dynamic evaluation
"""

from seqjax.adaptation.cache import Cache
from seqjax.adaptation.dynamic import Dynamic, mean_squares
from seqjax.adaptation.reader import Reader
from seqjax.adaptation.windows import Windows, document_windows, text_windows

__all__ = [
    "Cache",
    "Dynamic",
    "Reader",
    "Windows",
    "document_windows",
    "mean_squares",
    "text_windows",
]
