"""Template tags of the evaluation app."""
