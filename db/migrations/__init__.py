"""The ledger's tables, step by step. A released step is never edited.

Steps lead forwards only: to go back, restore the backup that was taken before.
"""
