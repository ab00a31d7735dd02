"""Routes of API keys and service accounts."""

from ali.features.keys.http import admin_keys, project_keys, service_accounts

ROUTERS = (project_keys.router, service_accounts.router, admin_keys.router)
"""What the composition root includes."""
