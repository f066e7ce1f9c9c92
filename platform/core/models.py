"""Tables of the kit, gathered for Django."""

from core.api.idempotency import IdempotencyKey
from core.jobs.models import Job, JobAttempt, JobLog, JobTransition
from core.schedules.models import Schedule

__all__ = ["IdempotencyKey", "Job", "JobAttempt", "JobLog", "JobTransition", "Schedule"]
