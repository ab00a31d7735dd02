"""Composition root of the API: settings in, an ASGI application out."""

from ali.app.edge import Edge, create_app, create_app_from_environment

__all__ = ["Edge", "create_app", "create_app_from_environment"]
