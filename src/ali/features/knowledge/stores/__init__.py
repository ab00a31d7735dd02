"""Vector stores as their owners see them: the stores, their files, and files that were added together."""
