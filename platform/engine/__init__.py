"""The machine learning: plain values in, plain values out; never Django, Celery or Redis."""
