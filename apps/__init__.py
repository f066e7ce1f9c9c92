"""The Django apps, one per domain."""
