"""Labelled radiographs on disk: layouts, pixels, fingerprints, duplicates, checks."""
