"""REST endpoints of the datasets room."""
