"""Backlog runs: what they look for, when they may work, and what becomes of their results."""
