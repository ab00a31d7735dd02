"""Ali API: the AI assistant API that an organisation runs itself."""
