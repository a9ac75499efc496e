"""Takes half as much memory again as is allowed, and uses it."""

from hostile import MIB, limit, say

heap = []
for _ in range(limit("memory_bytes") * 3 // 2 // MIB):
    heap.append(bytearray(b"x" * MIB))
say("3", "survived")
