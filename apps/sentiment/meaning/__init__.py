"""What a text is about, as pure code: no tables, no network."""
