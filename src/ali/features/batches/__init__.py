"""Batches: many requests handed in at once, run in the background within a day, in OpenAI's and Anthropic's forms."""
