"""The installation: its database, its first tenant, and the PostgreSQL that it may bring along."""
