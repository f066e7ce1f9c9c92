"""What a dataset is like: balance, lengths, languages, duplicates, conflicts and leakage, as plain dicts."""
