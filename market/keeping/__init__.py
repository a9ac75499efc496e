"""Keepers of shard keys: who they are, and the small server that takes keys in (docs/decisions/0024)."""
