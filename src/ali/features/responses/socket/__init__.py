"""The Responses API over a WebSocket: many responses over one connection, which remembers those that are not stored."""
