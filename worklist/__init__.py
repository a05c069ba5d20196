"""What readers see and say, and what other systems hear: pages, flags, health. Reads the ledger."""
