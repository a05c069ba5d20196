"""Copies of an installation: made beside it while it works, and set up again elsewhere."""
