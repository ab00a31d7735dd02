"""Conversations and their items: what was said, in one order, for responses to go on from."""
