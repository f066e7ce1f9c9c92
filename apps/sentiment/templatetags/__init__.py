"""Template tags of the sentiment room."""
