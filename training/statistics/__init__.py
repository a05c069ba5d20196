"""Figures of a binary classifier, their intervals and tests: arrays in, numbers out.

Throughout: `labels` true = fractured; `scores` higher = more likely fractured; `groups` number what
is not independent (patients, blocks of ids); all arrays (n).
"""
