"""Pages of the datasets room."""
