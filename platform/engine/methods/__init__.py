"""Parameter-efficient methods: what is added to a frozen model, trained, merged and kept."""

from engine.methods.attach import Attached, added_parameters, attach, plain_weights
from engine.methods.folder import read_adapter, write_adapter

__all__ = ["Attached", "added_parameters", "attach", "plain_weights", "read_adapter", "write_adapter"]
