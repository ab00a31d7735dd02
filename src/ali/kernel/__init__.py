"""Domain-free ground: settings, database, web, errors, clock, ids, log, telemetry."""
