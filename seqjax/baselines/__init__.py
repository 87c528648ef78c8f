"""Baselines of the networks.

ngram            n-gram language models with Laplace or Kneser-Ney smoothing
markov           Markov chains of any order, as tables
hmm              hidden Markov models; emissions has their distributions
naive_bayes      naive Bayes on bags of words
autoregressive   forecasters without a state
numpy_rnn        the plain RNN language model with gradients written by hand
"""

from seqjax.baselines.autoregressive import MLP, LinearAR, SeasonalNaive
from seqjax.baselines.emissions import CategoricalEmission, GaussianEmission
from seqjax.baselines.hmm import HMM
from seqjax.baselines.markov import MarkovChain
from seqjax.baselines.naive_bayes import NaiveBayes
from seqjax.baselines.ngram import NgramModel, kneser_ney, laplace

__all__ = [
    "HMM",
    "MLP",
    "CategoricalEmission",
    "GaussianEmission",
    "LinearAR",
    "MarkovChain",
    "NaiveBayes",
    "NgramModel",
    "SeasonalNaive",
    "kneser_ney",
    "laplace",
]
