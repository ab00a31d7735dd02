"""Ali API: the AI assistant API that an organisation runs itself."""

__version__ = "0.1.0"
