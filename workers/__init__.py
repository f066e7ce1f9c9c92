"""Celery tasks, the generation loop, the beat table and the sweeper: thin, they join apps and engine."""
