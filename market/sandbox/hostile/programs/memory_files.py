"""Hides memory in files: /tmp, /scratch and shared memory together hold more than the job may have."""

from hostile import MIB, limit, say

for place in ("/tmp", "/scratch"):
    with open(f"{place}/hidden", "wb", buffering=0) as file:
        for _ in range(limit("scratch_bytes") * 3 // 4 // MIB):
            file.write(b"x" * MIB)
say("70", "survived")
