"""Budgets: how much money an organization, a project, a key or a person may spend in a day or a month."""

from ali.features.metering.budgets.book import BudgetBook
from ali.features.metering.budgets.keeper import BudgetKeeper
from ali.features.metering.budgets.reservations import BudgetExhausted, Reservations

__all__ = ["BudgetBook", "BudgetExhausted", "BudgetKeeper", "Reservations"]
