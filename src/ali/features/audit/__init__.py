"""The audit record: who did what to what, written in the transaction that did it."""

from ali.features.audit.event import Actor, AuditEvent, record

__all__ = ["Actor", "AuditEvent", "record"]
