"""The room of the data: datasets, their examples, imports, exports, splits, checks and frozen versions."""
