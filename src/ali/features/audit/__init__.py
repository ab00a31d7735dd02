"""The audit record: who did what to what, written in the transaction that did it."""

from ali.features.audit.event import Actor, AuditEvent, record, record_deletion
from ali.features.audit.models import AuditRow

__all__ = ["Actor", "AuditEvent", "AuditRow", "record", "record_deletion"]
