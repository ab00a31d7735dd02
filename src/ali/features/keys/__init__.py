"""API keys: issuing, recognising and revoking the credentials of programs."""
