"""Settings: base reads the environment; embedded, production and test each say what differs."""
