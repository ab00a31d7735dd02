"""`ali keys` and `ali service-accounts`."""
