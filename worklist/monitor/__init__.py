"""Health, metrics and alarms, on a port of their own."""
