"""Benchmarks: the speed of seqjax compared with other libraries.

    recurrence   one recurrent layer
    training     whole training steps of language models
    decoding     beam search of a translation model
    baselines    hidden Markov models and n-gram counts

Each command times several arms. An arm is one implementation of the same computation;
a peer is the arm of another library. Every arm must agree with a reference before it
is timed. The timed calls of the arms are interleaved, and the tables show medians.
"""
