"""Dynamic programs over label sequences: linear chains (HMM, CRF) and CTC."""
