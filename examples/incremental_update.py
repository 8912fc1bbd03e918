"""Keep an index in step with a folder of files: only new and changed texts are encoded again.

    python examples/incremental_update.py

The command line does the same with `hpdsearch index FOLDER -o INDEX --update`.
"""

import tempfile
from pathlib import Path

from hpdsearch import Document, Index
from hpdsearch.corpus import read_corpus


def main() -> None:
    """Index a folder of notes, change the notes, and update the index."""
    with tempfile.TemporaryDirectory() as temporary:
        notes = Path(temporary) / "notes"
        notes.mkdir()
        (notes / "bread.txt").write_text("Mix flour, water and salt, and let the dough rise overnight.")
        (notes / "garden.txt").write_text("Cut the roses in March, before the first leaves appear.")
        (notes / "travel.txt").write_text("The night train to Vienna leaves at ten.")

        with Index.build(Path(temporary) / "index", read_corpus(notes), encoder="static") as index:
            print(f"indexed: {len(index)} notes")

            (notes / "garden.txt").write_text("Cut the roses in April, after the last frost.")
            (notes / "travel.txt").unlink()
            (notes / "piano.txt").write_text("Practice the scales slowly, with a metronome.")
            report = index.update(read_corpus(notes), under=notes)
            print(f"updated: {report.n_documents} written, {report.n_unchanged} unchanged, {report.n_deleted} deleted")

            # Single documents need no folder.
            index.add([Document("today", "Buy olives and a new bow for the violin.")])
            index.delete(["bread.txt"])
            print(f"best hit for 'pruning': {index.search('pruning flowers', k=1)[0].doc_id}")


if __name__ == "__main__":
    main()
