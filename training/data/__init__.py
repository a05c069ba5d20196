"""Readers of labelled radiographs: each gives `Example`s, whatever the layout on disk."""
