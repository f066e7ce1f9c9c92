"""One file = one kind of run, read from top to bottom."""
