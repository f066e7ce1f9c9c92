"""Wiring: settings, URLs, Celery and ASGI; imports everything, imported by nothing."""
