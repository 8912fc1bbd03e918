"""Run model2vec (MinishLab) with its defaults: distill a teacher into a table of token vectors, and encode texts.

    python model2vec_encode.py distill ~/.cache/hpdsearch-models/all-mpnet-base-v2 table --dim 256
    python model2vec_encode.py encode table texts.json vectors.npy

Distillation encodes every token of the vocabulary with the teacher, which takes minutes. texts.json is a
list of strings.
"""

import argparse
import json
from pathlib import Path

import numpy as np


def main() -> None:
    """Read the options and run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("distill", help="write a table")
    making.add_argument("model", type=Path, help="folder of the teacher")
    making.add_argument("table", type=Path, help="output folder")
    making.add_argument("--dim", type=int, default=256, help="dimensions")
    encoding = commands.add_parser("encode", help="encode texts")
    encoding.add_argument("table", type=Path)
    encoding.add_argument("texts", type=Path)
    encoding.add_argument("vectors", type=Path, help="output file, float32 (n, dim)")
    options = parser.parse_args()
    if options.command == "distill":
        from model2vec.distill import distill

        distill(str(options.model), pca_dims=options.dim).save_pretrained(str(options.table))
        return
    from model2vec import StaticModel

    vectors = StaticModel.from_pretrained(str(options.table)).encode(json.loads(options.texts.read_bytes()))
    np.save(options.vectors, vectors.astype(np.float32))


if __name__ == "__main__":
    main()
