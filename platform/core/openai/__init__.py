"""The frame of the OpenAI-compatible API below /v1: errors, ids, bodies, paging and repeated creates as its clients know them."""
