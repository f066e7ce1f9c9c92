"""Measurements that run by hand or by `./lingxi bench`, never as timed tests."""
