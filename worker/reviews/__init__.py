"""Readers' judgements: brought in, and given out as a labelled set for the next training."""
