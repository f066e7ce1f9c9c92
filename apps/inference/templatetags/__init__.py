"""Tags of the inference app."""
