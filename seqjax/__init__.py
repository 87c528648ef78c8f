"""seqjax: recurrent sequence models in JAX, as plain as the formula and fast.

The map, in reading order; a file imports only from those above it:

    data/            text, vocabularies, n-grams, corpora, pairs, labeled documents,
                     tagged sentences, poems, series, recordings, minibatches; NumPy
                     only
    activations, layers, losses, metrics, forecasts
    chains           sums over the paths of a chain: for HMMs and CRFs
    cells            RNN, GRU, LSTM: init, initial_state, project, step
    attention        dot, general, additive; attending is a cell that uses it
    fused            the loop under unroll and its backward pass (buffers, tracing)
    recurrence       unroll, Stack, Bidirectional: one engine for any cell
    truncation       backpropagation through time cut short, at fixed or random steps
    features, ctc    mel spectrograms and cepstra; labels without an alignment
    decoding         streams, greedy, samples, exhaustive (hypotheses, beam_search);
                     acrostic holds them to the initials of lines
    baselines/       the RNN in plain NumPy; n-grams, Markov and hidden Markov models;
                     forecasters without a state; naive Bayes
    models/          language_model, seq2seq, forecaster, classifier, tagger,
                     recognizer
    training         TrainState, one step, many steps in one call, evaluation
    checkpoint       save and restore

Dimension letters: T time, B batch (any leading shape `...`), D input, H hidden, V
vocabulary, E embedding, G gates, S source length, K beam. Time comes first, features
last, everything between is batch: xs [T, ..., D], lengths [...].
"""

from seqjax.cells import GRU, LSTM, RNN, LSTMState
from seqjax.recurrence import Bidirectional, Stack, unroll

__version__ = "0.1.0"

__all__ = ["GRU", "LSTM", "RNN", "Bidirectional", "LSTMState", "Stack", "unroll"]
