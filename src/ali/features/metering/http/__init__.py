"""Routes of metering, one module a noun."""
