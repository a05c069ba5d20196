"""Model updates on a running product: import, compare, promote, roll back, shadow, drift."""
