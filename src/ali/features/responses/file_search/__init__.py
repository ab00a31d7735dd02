"""The `file_search` tool: our vector stores searched for a model of any provider, and its answer's citations.

Exports nothing: requests are read by `tool`, which what runs them (`searches`, `stores`) builds on in turn.
"""
