"""Routes of metering: usage and costs, limits, budgets."""

from ali.features.metering.http import budgets, limits, usage

ROUTERS = (usage.router, limits.router, budgets.router)
"""What the composition root includes."""
