"""Answers about Heldout with their sources, out of its documentation and the market's own rows.

    question ──▶ intents ──┬─ a job, a transaction ──▶ Facts   (the index, or the chain alone)
                           ├─ an error's name       ──▶ errors
                           ├─ "train … under 5 …"   ──▶ drafting ──▶ a job.toml, its price, what was assumed
                           └─ anything else         ──▶ passages ──▶ embeddings if installed, else BM25

It holds no key and sends nothing: what it drafts, a person reviews and signs. Offline by default; an OpenAI-compatible
endpoint may phrase the answers (`endpoint`), and then gets the same four tools and nothing else.
"""
