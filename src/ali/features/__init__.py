"""The product, one slice a noun; a slice imports only those under it."""
