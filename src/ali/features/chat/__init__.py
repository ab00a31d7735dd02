"""The hot path: chat completions, messages, embeddings and moderations, in front of any provider."""
