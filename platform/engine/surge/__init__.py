"""Detectors of surges in counts over time: plain arrays in, plain arrays out, never a look ahead."""
