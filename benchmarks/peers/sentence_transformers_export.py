"""Export a model to ONNX with sentence-transformers: load it with export=True, then save it.

The environment does not contain hpdsearch.

    python benchmarks/peers/sentence_transformers_export.py ~/.cache/hpdsearch-models/all-MiniLM-L6-v2 exported/
"""

import argparse

from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found]


def main() -> None:
    """Read the options, export, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="local model folder")
    parser.add_argument("folder", help="output folder")
    options = parser.parse_args()
    settings = {"export": True, "provider": "CPUExecutionProvider"}
    model = SentenceTransformer(
        options.model, device="cpu", backend="onnx", local_files_only=True, model_kwargs=settings
    )
    model.save_pretrained(options.folder)


if __name__ == "__main__":
    main()
