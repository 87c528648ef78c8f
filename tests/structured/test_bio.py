"""The BIO scheme as potentials."""

import numpy as np

from seqjax.structured.bio import bio_potentials

TAGS = ("O", "B-x", "I-x", "I-y")


def test_bio_forbids_invalid_sequences():
    start, transition = bio_potentials(TAGS)
    assert start.tolist() == [0, 0, -np.inf, -np.inf]
    for i, j in np.ndindex(transition.shape):
        allowed = (TAGS[i], TAGS[j]) in (("B-x", "I-x"), ("I-x", "I-x"), ("I-y", "I-y"))
        assert (transition[i, j] == 0) == (allowed or TAGS[j] in ("O", "B-x"))
    assert not np.any(bio_potentials(("NOUN", "VERB", "X-I"))[1])
