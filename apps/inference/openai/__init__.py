"""Inference as OpenAI's clients know it: chats, completions, embeddings and what stands beside them below /v1."""
