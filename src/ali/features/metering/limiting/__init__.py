"""Rate limits: claims on what may pass in a window, counted as one by all processes of the installation."""

from ali.features.metering.limiting.claims import Claim, Standing, Verdict, claim, counting, explain
from ali.features.metering.limiting.in_process import ProcessStore
from ali.features.metering.limiting.limiter import LEASE_S, Limiter, LimitsUnavailable
from ali.features.metering.limiting.rules import Rule, RuleBook

__all__ = [
    "LEASE_S",
    "Claim",
    "Limiter",
    "LimitsUnavailable",
    "ProcessStore",
    "Rule",
    "RuleBook",
    "Standing",
    "Verdict",
    "claim",
    "counting",
    "explain",
]
