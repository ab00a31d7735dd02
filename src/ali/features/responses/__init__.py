"""Responses: OpenAI's stateful surface over any provider."""
