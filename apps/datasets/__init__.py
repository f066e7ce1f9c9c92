"""Texts: datasets, examples, imports, exports, splits, checks and frozen versions."""
