"""Ranking 100 thousand source wordings for 100 target wordings, and encoding 1,613 definitions, each beside its peers.

Writes reports/benchmarks/rank.json. Ranking: the 70 nearest of each target wording, embeddings given, beside
`sentence_transformers.util.semantic_search` and a flat FAISS index that is built already; all take turns in one process, and the
shortest of the repeats counts. Peak memory is that of a process which only ranks, with its imports and vectors.
Encoding: `instune.selection.embed.encode` with an empty cache folder, beside bare calls of `SentenceTransformer.encode`.

    pip install -r requirements-bench.txt
    python -m tests.benchmarks.rank
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import Any

import numpy as np

from instune.results import write_json
from instune.selection.rank import ROWS, nearest, rank, similarity

SOURCES, TARGETS, WIDTH, TOP, WORDINGS_PER_TASK = 100_000, 100, 384, 70, 10
REPEATS, ENCODE_REPEATS = 9, 2
PUBLISHED = Path("../shared/data/super_natural_instructions/definitions.jsonl.gz")
DEFINITIONS = 1_613


def unit_vectors(count: int, seed: int) -> np.ndarray:
    """Random unit vectors, float32 (count, WIDTH), made in place."""
    vectors = np.random.default_rng(seed).standard_normal((count, WIDTH), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def ours(targets: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Columns of the TOP nearest source wordings of each target wording, (m, TOP)."""
    blocks = (similarity(targets[start : start + ROWS], sources) for start in range(0, len(targets), ROWS))
    return np.concatenate([nearest(block, TOP) for block in blocks])


def peak_megabytes() -> int:
    """Peak memory of a process that makes the vectors, finds the nearest wordings and ranks the tasks."""
    done = subprocess.run([sys.executable, "-m", "tests.benchmarks.rank", "--memory"], check=True, capture_output=True, text=True)
    return int(done.stdout)


def only_rank() -> None:
    """What `peak_megabytes` measures."""
    sources, targets = unit_vectors(SOURCES, 0), unit_vectors(TARGETS, 1)
    ours(targets, sources)
    owners = np.arange(SOURCES) // WORDINGS_PER_TASK
    for aggregation in ("vote", "mean_of_max"):
        rank(targets, sources, owners, SOURCES // WORDINGS_PER_TASK, aggregation)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def shortest(calls: dict[str, Callable[[], Any]], repeats: int, clock: Callable[[], float] = perf_counter) -> dict[str, float]:
    """Seconds of each call, the shortest of so many; the calls take turns."""
    seconds = dict.fromkeys(calls, float("inf"))
    for _ in range(repeats):
        for name, call in calls.items():
            start = clock()
            call()
            seconds[name] = min(seconds[name], clock() - start)
    return seconds


def agreement(found: np.ndarray, other: np.ndarray, targets: np.ndarray, sources: np.ndarray) -> str:
    """How the results agree: neighbours are equal where their cosines differ by more than the rounding of ours, 1e-6.

    Raises:
        AssertionError: a rank at which the two cosines differ by more.
    """
    exact = targets.astype(np.float64) @ sources.T.astype(np.float64)
    gaps = np.abs(np.take_along_axis(exact, found, 1) - np.take_along_axis(exact, other, 1))
    assert gaps.max() < 2e-6, gaps.max()
    return (
        f"{int((found == other).sum())} of {found.size} neighbours at the same rank, the others' cosines within {gaps.max():.1e}"
    )


def measure_ranking() -> dict[str, Any]:
    """Ours, semantic_search and FAISS on the same vectors."""
    import faiss  # of requirements-bench.txt; not imported where memory is measured
    import torch
    from sentence_transformers.util import semantic_search

    sources, targets = unit_vectors(SOURCES, 0), unit_vectors(TARGETS, 1)
    index = faiss.IndexFlatIP(WIDTH)
    index.add(sources)
    pair = torch.from_numpy(targets), torch.from_numpy(sources)
    owners = np.arange(SOURCES) // WORDINGS_PER_TASK
    found = ours(targets, sources)
    hits = semantic_search(*pair, top_k=TOP)
    peers = {
        "semantic_search": np.array([[hit["corpus_id"] for hit in row] for row in hits]),
        "faiss.IndexFlatIP": index.search(targets, TOP)[1],
    }
    checked = {name: agreement(found, other, targets, sources) for name, other in peers.items()}
    calls = {
        "ours": lambda: ours(targets, sources),
        "semantic_search": lambda: semantic_search(*pair, top_k=TOP),
        "faiss.IndexFlatIP": lambda: index.search(targets, TOP),
        "ranking of tasks": lambda: rank(targets, sources, owners, SOURCES // WORDINGS_PER_TASK),
    }
    return {"checked": checked, "repeats": REPEATS, "seconds": shortest(calls, REPEATS)}


def definitions() -> tuple[list[str], str]:
    """The published definitions where they are, else as many of random words; and which."""
    if PUBLISHED.exists():
        with gzip.open(PUBLISHED, "rt", encoding="utf-8") as file:
            return [json.loads(line)["Definition"][0] for line in file], "published"
    draw = Random(0)
    words = [f"word{number}" for number in range(2_000)]
    return [" ".join(draw.choices(words, k=draw.randint(10, 80))) for _ in range(DEFINITIONS)], "generated"


def measure_encoding() -> dict[str, Any]:
    """Our encode with an empty cache, and bare encode with its own batch size and with ours, on one thread."""
    import torch

    from instune.selection import encoder
    from instune.selection.embed import encode

    texts, kind = definitions()
    model = encoder.load(encoder.locate("packaged:all-minilm-l6-v2", None))
    results: dict[str, np.ndarray] = {}

    def mine() -> None:
        with tempfile.TemporaryDirectory() as folder:
            results["ours"], _ = encode(texts, model, files="none", batch_size=1, cache_folder=Path(folder))

    def bare(size: int) -> None:
        results[f"{size}"] = model.encode(texts, batch_size=size, normalize_embeddings=True, show_progress_bar=False)

    torch.set_num_threads(1)  # a thread that waits for the other counts as work
    model.encode(texts[:64], show_progress_bar=False)  # warm
    calls = {"ours": mine, "encode(batch_size=32)": lambda: bare(32), "encode(batch_size=1)": lambda: bare(1)}
    seconds = shortest(calls, ENCODE_REPEATS, process_time)
    gap = max(float(np.abs(results["ours"] - results[size]).max()) for size in ("32", "1"))
    assert gap < 1e-5, gap
    counts = {"texts": len(texts), "distinct": len(set(texts)), "kind": kind, "repeats": ENCODE_REPEATS}
    return counts | {"largest difference": gap, "seconds": seconds}


def entry(seconds: dict[str, float], checked: Any, repeats: int) -> dict[str, Any]:
    """Ours, the peers and the ratio to the best of them."""
    peers = {name: round(value, 4) for name, value in seconds.items() if name not in ("ours", "ranking of tasks")}
    ratio = round(seconds["ours"] / min(seconds[name] for name in peers), 3)
    return {"ours": round(seconds["ours"], 4), "peers": peers, "ratio": ratio, "checked": checked, "repeats": repeats}


def main() -> None:
    """Measure ranking, its memory, and encoding."""
    if sys.argv[1:] == ["--memory"]:
        return only_rank()
    if find_spec("faiss") is None:
        sys.exit("error: faiss is not installed. Run `pip install -r requirements-bench.txt`.")
    peak, ranking, encoding = peak_megabytes(), measure_ranking(), measure_encoding()
    same = f"{encoding['texts']} {encoding['kind']} definitions, {encoding['distinct']} of them distinct, which are all that ours"
    same += f" encodes; vectors within {encoding['largest difference']:.1e}"
    result = {
        "name": "rank",
        "unit": "seconds",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "size": f"{SOURCES} source wordings x {TARGETS} target wordings x {WIDTH}, top {TOP}",
        "peak_megabytes": peak,
        "ranking_of_tasks": round(ranking["seconds"]["ranking of tasks"], 4),
        "encode": {"unit": "processor seconds, one thread"} | entry(encoding["seconds"], same, encoding["repeats"]),
    } | entry(ranking["seconds"], ranking["checked"], ranking["repeats"])
    write_json(Path("reports/benchmarks/rank.json"), result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
