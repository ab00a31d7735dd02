"""Routes of identity, and what every slice's routes ask of it: see `access`."""
