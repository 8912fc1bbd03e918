"""Measure what `hpdsearch plan` needs and no other benchmark has, and write the file of figures that it computes from.

Measured here: bytes of documents by their length, latencies of the shards of a real index, merging of hits, and on a
machine with GPUs the rate of encoding. The other figures come from result files of the same folder.

    python -m benchmarks.scale.plan                                     # plan.json, and the figures that ship
    python -m benchmarks.scale.plan --from-result                       # the figures again, after other benchmarks
    python -m benchmarks.scale.plan --corpus texts.jsonl.gz --shards 8 --work work/
    python -m benchmarks.scale.plan --results other/ --output other/plan.json --figures other/figures.json
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.common.harness import (
    QUERIES,
    ROOT,
    SAMPLE,
    argument_parser,
    file_identity,
    first_documents,
    positive,
    read_queries,
)
from benchmarks.common.results import RESULTS, Result, result, write_result
from benchmarks.report.show_results import read_result
from benchmarks.scale.fanout import (
    build_shards,
    fit_shape,
    latency_results,
    measure_merging,
    measure_modes,
    plot_fanout,
)
from benchmarks.scale.plan_figures import ENCODERS, make_figures
from benchmarks.scale.plan_texts import join_texts, measure_texts
from hpdsearch import Document, Encoder
from hpdsearch.cluster.figures import SHIPPED, read_figures

NEEDED = ("scale", "retrieval", "encoding", "query_latency", "scale_words", "serve")
PICTURE = ROOT / "docs" / "images" / "fanout.svg"
GPU_WORDS = (15, 150)  # of the texts that a GPU encodes


def main() -> None:
    """Read the options, measure, write the result, the picture and the figures."""
    options = read_options()
    if options.from_result:
        made = read_result(options.output)
    else:
        made = run(options)
        write_result(made, options.output)
    plot_fanout(made["measurements"], options.picture)
    results = {"plan": made} | {name: read_result(options.results / f"{name}.json") for name in NEEDED}
    options.figures.write_text(json.dumps(make_figures(results), indent=1) + "\n", encoding="utf-8")
    read_figures(options.figures)
    print(options.figures)


def read_options() -> argparse.Namespace:
    """Return the options."""
    parser = argument_parser(__doc__, "plan", repeats=20)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--corpus", type=Path, default=SAMPLE, help="corpus of the shards and the documents")
    parser.add_argument("--n", type=positive, help="documents of the corpus; default: all")
    parser.add_argument("--queries", type=Path, default=QUERIES, help="file with one query per line")
    parser.add_argument("--encoder", default="static", help="encoder of documents and queries")
    parser.add_argument("--shards", type=positive, default=8, help="shards that are built and searched")
    parser.add_argument("--texts", type=positive, default=20_000, help="documents of each length, at most")
    parser.add_argument("--work", type=Path, help="folder for the indexes, which are kept; default: a temporary one")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the other result files")
    parser.add_argument("--figures", type=Path, help="file of figures to write; default: beside the result")
    parser.add_argument("--picture", type=Path, help="picture to draw; default: beside the result")
    parser.add_argument(
        "--from-result", action="store_true", help="measure nothing; read the result file, as `make pages` does"
    )
    options = parser.parse_args()
    ours = options.output == RESULTS / "plan.json"
    options.figures = options.figures or (SHIPPED if ours else options.output.with_name("figures.json"))
    options.picture = options.picture or (PICTURE if ours else options.output.with_name("fanout.svg"))
    return options


def run(options: argparse.Namespace) -> Result:
    """Return the measurements of this machine."""
    documents = first_documents(options.corpus, options.n)
    queries = read_queries(options.queries)
    encoder = Encoder.load(options.encoder)
    with tempfile.TemporaryDirectory() as scratch:
        return measure(documents, queries, encoder, options.work or Path(scratch), options)


def measure(
    documents: Sequence[Document], queries: Sequence[str], encoder: Encoder, work: Path, options: argparse.Namespace
) -> Result:
    """Return the result: all measurements, and the distribution of latencies by mode."""
    work.mkdir(parents=True, exist_ok=True)
    texts = [document.text for document in documents]
    measurements = list(measure_texts(texts, encoder, options.texts, work))
    folders = build_shards(documents, options.shards, encoder, work)
    shapes = {}
    for mode, latencies in measure_modes(folders, encoder, queries, options.repeats).items():
        measurements += latency_results(mode, latencies)
        shapes[mode] = asdict(fit_shape(latencies))
    measurements += measure_merging(options.repeats)
    settings = {name: getattr(options, name) for name in ("repeats", "encoder", "shards", "texts")}
    settings |= {"corpus": file_identity(options.corpus), "n_documents": len(documents)}
    settings |= {"queries": file_identity(options.queries), "n_queries": len(queries)}
    made = result("plan", settings, measurements, [])
    return made | {"shapes": shapes, "gpus": measure_gpus(texts)}


def measure_gpus(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rates of the encoders on the GPU of this machine, as values of EncodingFigure; none without one."""
    from hpdsearch.encoder.device import Device, uses_gpu

    if not uses_gpu(Device.AUTO):
        return []
    return [
        rate
        for name in ENCODERS
        if name != "static"
        for rate in measure_rates(Encoder.load(name, device=Device.CUDA), name, "cuda", texts)
    ]


def measure_rates(encoder: Encoder, name: str, device: str, texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rate of an encoder for texts of two lengths, after a warm-up."""
    rates = []
    for words in GPU_WORDS:
        joined = [one.text for one in join_texts(texts, words, 20_000)]
        encoder.encode(joined[:500])
        start = time.perf_counter()
        encoder.encode(joined)
        seconds = time.perf_counter() - start
        tokens = sum(map(len, encoder.token_spans(joined))) / len(joined)
        rates.append(
            {
                "encoder": name,
                "device": device,
                "units": 1,
                "n_tokens": tokens,
                "texts_per_second": len(joined) / seconds,
            }
        )
    return rates


if __name__ == "__main__":
    main()
