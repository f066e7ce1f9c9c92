"""Sentiment monitoring: articles are collected, understood, counted and watched; a surge of bad news raises an alert."""
