"""Data, splits, training, evaluation and the writing of bundles. Knows `models`, never `db`."""
