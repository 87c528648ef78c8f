"""Dynamic programs over label sequences.

linear_chain   sums, best paths and samples of linear chains: HMMs and CRFs
ctc            labels without an alignment to the frames: loss and decoding
bio            tagging schemes of spans: BIO as potentials, others converted
"""

from seqjax.structured import ctc, linear_chain
from seqjax.structured.bio import bio_potentials

__all__ = ["bio_potentials", "ctc", "linear_chain"]
