"""Measurements that need database and workers together; run by `./lingxi bench`."""
