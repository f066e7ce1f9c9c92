"""Everything on this machine behind plain http on loopback: what `./lingxi up` runs."""

from config.settings.base import *  # noqa: F403
