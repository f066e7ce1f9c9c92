"""Models: base models, frozen model versions, aliases with history, model cards."""
