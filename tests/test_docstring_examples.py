"""The examples in docstrings run and print what they show."""

import doctest
import importlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax

MODULES = [
    "audio.features",
    "audio.front_end",
    "baselines.autoregressive",
    "baselines.hmm",
    "baselines.markov",
    "baselines.naive_bayes",
    "cells",
    "checkpoint.checkpoints",
    "checkpoint.writer",
    "data.calendar_steps",
    "data.compression",
    "data.corpora",
    "data.labeled",
    "data.ngrams",
    "data.parallel",
    "data.poems",
    "data.seasons",
    "data.series",
    "data.sources",
    "data.speech",
    "data.synthetic.apples",
    "data.synthetic.grammar",
    "data.synthetic.opinions",
    "data.synthetic.syllables",
    "data.synthetic.verses",
    "data.tables",
    "data.tagged",
    "data.text",
    "data.tokenizers",
    "data.transcripts",
    "data.vocab",
    "decoding.beam_search",
    "decoding.constraints",
    "decoding.streaming",
    "gradient_flow",
    "interop.flax",
    "interop.haiku",
    "interop.keras",
    "interop.linen",
    "interop.nnx",
    "interop.stablehlo",
    "interop.torch",
    "interop.weights",
    "metrics",
    "model_files",
    "models.classifier",
    "models.ctc_model",
    "models.direct_forecaster",
    "models.language_model",
    "models.recursive_forecaster",
    "models.seq2seq",
    "models.tagger",
    "nn.attention",
    "nn.attention_cell",
    "nn.losses",
    "nn.masks",
    "recurrence",
    "structured.bio",
    "structured.ctc",
    "structured.linear_chain.partition",
    "truncation",
]
NAMES = {"jax": jax, "jnp": jnp, "np": np, "seqjax": seqjax}


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(f"seqjax.{name}")
    result = doctest.testmod(module, extraglobs=NAMES)
    assert result.attempted > 0
    assert result.failed == 0
