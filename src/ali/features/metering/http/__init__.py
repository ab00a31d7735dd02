"""Routes of metering: usage and costs, budgets."""

from ali.features.metering.http import budgets, usage

ROUTERS = (usage.router, budgets.router)
"""What the composition root includes."""
