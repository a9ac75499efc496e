"""Putting a market on a chain, and telling whether one that is there already is what it says it is (docs/deploying.md).

    specification.toml ─▶ Plan (addresses, arguments, gas) ─▶ signed, on disk ─▶ mined ─▶ network file ─▶ findings

What is deployed is what ships in this package: whoever has the sources can compile them to the same bytes.
"""
