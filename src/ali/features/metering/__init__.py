"""Usage, cost and rate limits: one durable record a request."""

from ali.features.metering.ledger import Ledger, LedgerUnavailable
from ali.features.metering.record import OpenRecord

__all__ = ["Ledger", "LedgerUnavailable", "OpenRecord"]
