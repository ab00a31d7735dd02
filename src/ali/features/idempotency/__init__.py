"""Idempotency keys: one execution, and one answer, however often the same request is sent."""

from ali.features.idempotency.claims import Claims
from ali.features.idempotency.keyed import Keeping
from ali.features.idempotency.once import Once
from ali.features.idempotency.openapi import describe_keys
from ali.features.idempotency.sealing import Sealer

__all__ = ["Claims", "Keeping", "Once", "Sealer", "describe_keys"]
