"""Upstream wire protocols: what a provider is sent, what it answers, and how one dialect is said in the other.

Knows neither the database nor the web framework.
"""
