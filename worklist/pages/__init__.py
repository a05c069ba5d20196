"""What a browser gets: one module per page."""
