"""By what an item is the same whenever it comes."""

import hashlib

from apps.sentiment.collecting.items import Item


def identity_of(item: Item) -> str:
    """Of the source's own id."""
    return hashlib.sha256(item.external_id.encode("utf-8", "surrogatepass")).hexdigest()
