"""Training jobs, their curves and checkpoints."""
