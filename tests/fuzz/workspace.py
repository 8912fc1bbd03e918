"""The folder that a fuzzed command runs in: an index, encoders, corpora of every kind, good and bad; and damages."""

import gzip
import json
import os
import random
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from beir_folder import write_beir
from tiny_encoder import make_tiny_encoder, make_tiny_static

from hpdsearch import Document, Index
from hpdsearch.encoder import read_card, write_space

RECORDS = [
    {
        "id": "c1",
        "title": "fear",
        "text": "a cat and a dog",
        "year": 1879,
        "lang": "en",
        "tags": ["a", "b"],
        "ok": True,
    },
    {
        "id": 2,
        "title": None,
        "text": "the ship on the sea",
        "year": 1.5,
        "lang": None,
        "nested": {"x": [1, {"y": "z"}]},
    },
    {
        "id": "a b",
        "title": "Überschrift",
        "text": "Möwen über 震动 \U0001f600 \u202e\x1b[31m",
        "year": -3,
        "date": "2020-02-30",
    },
    {"id": "d", "title": "", "text": "the old king " * 40, "big": 10**30, "": "empty name"},
]
DEEP = "[" * 3000 + "]" * 3000
TABLE = 'id,text,year,ok,date\r\n1,a cat,1990,true,2020-01-01\r\n2,"a, ""dog""\r\nbarks",,False,\r\n3,bird,1e3,no,x\r\n'
TEXTS = {
    "notes.txt": "a cat runs\nthe dog sleeps\n\nthe sea and the river\n",
    "words.jsonl": "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS),
    "table.csv": TABLE,
    "table.tsv": 'id\ttext\n1\t"a cat\n2\tthe sea"\n',
    "list.json": json.dumps(RECORDS),
    "lines.ndjson": '{"text": "a"}\n{"text": "b"}\n',
    "page.md": "---\ntitle: A page\n---\n# Fear\n\nof spiders\n",
    "page.html": "<html><title>War</title><body><p>and <b>peace<script>x</script></p>",
    "page.rst": "Title\n=====\n\nstone and gold\n",
    "notes/a.md": "# Alpha\napples",
    "notes/deep/b.txt": "boats",
    "notes/.hidden.md": "hidden",
    "notes/other.bin": "not read",
    "empty.txt": "",
    "empty.jsonl": "\n\n",
    "blank.txt": " \n\t\n",
    "deep.jsonl": f'{{"text": "a", "x": {DEEP}}}\n',
    "deeper.jsonl": '{"text":' + '{"a":' * 200_000 + "1" + "}" * 200_000 + "}\n",
    "nulls.jsonl": '{"text": null}\n{"text": "a"}\n',
    "twice.jsonl": '{"id": 1, "text": "a"}\n{"id": "1", "text": "b"}\n',
    "foreign.jsonl": '{"contents": "a"}\n[1]\nnull\n"x"\n{"text": "\\ud800"}\n{"text": NaN}\n',
    "wide.csv": ",".join(f"c{n}" for n in range(3000)) + ",text\n" + ",".join("1" for _ in range(3000)) + ",a\n",
    "quote.csv": 'id,text\n1,"never closed\n2,b\n',
    "long.txt": "word " * 60_000 + "\n" + "x" * 200_000 + "\n",
    "ids.txt": "c1\nd\n",
    "queries.txt": "a cat\n\nthe sea\n",
    "queries.jsonl": '{"id": "q 1", "text": "a cat"}\n{"_id": 2, "text": "the sea"}\n',
    "sp ace.txt": "a space in its name\n",
    "-dash.txt": "a dash before its name\n",
    "bom.csv": "\ufeffid,text\n1,a\n",
    "sts/T/test.tsv": "5\ta cat\ta dog\n1.0\tthe sea\ta king\n2\tred\tblue\n\n",
    "sts/foreign/readme.txt": "x",
    "sts.tsv": "1\ta\tb\n2\tc\td\n",
    "recipe.json": '{"teacher": "x", "sources": []}',
    "deep.json": DEEP,
    "wrapped.json": '{"total": 2, "data": [{"text": "a cat"}, {"text": "the sea"}]}',
    "broken.json": '[{"text": "a"}, 5, {"text": NaN}, {"text" "b"}, {"text": "c"}, {"text": "d}, {"text": "e"}]',
    "mixed/good.md": "# A page\n",
}
BYTES = {
    "latin1.txt": "Möwen\nüber\n".encode("latin-1"),
    "utf16.txt": "a cat\nthe sea\n".encode("utf-16"),
    "utf16.csv": "id,text\n1,a\n".encode("utf-16-le"),
    "marked.csv": "id,text\r\n1,Möwe\r\n".encode("utf-16"),
    "marked.json": '\ufeff[{"text": "Möwe"}]'.encode("utf-16-be"),
    "marked.md": "\ufeff# Möwe\n".encode("utf-32-le"),
    "mixed/latin1.md": "# Möwe\n".encode("latin-1"),
    "mixed/binary.txt": bytes(range(256)),
    "mixed/caf\udce9.md": b"a name that is not UTF-8\n",
    "latin1.csv": "id,text\n1,a\n2,Möwe\n3,b,c\n4,d\n".encode("latin-1"),
    "latin1.json": '[{"text": "a"}, {"text": "Möwe"}]'.encode("latin-1"),
    "nul.txt": b"a\0b\n",
    "binary.txt": bytes(range(256)) * 20,
    "binary.jsonl": bytes(range(255, -1, -1)) * 20,
    "ids-latin1.txt": "c1\nMöwe\n".encode("latin-1"),
    "ids-bom.txt": "\ufeffc1\r\nd\r\n".encode(),
    "ids-nul.txt": b"c1\0\n",
    "words.jsonl.gz": gzip.compress(b'{"text": "a"}\n{"text": "b"}\n'),
    "cut.txt.gz": gzip.compress(b"a cat runs\n" * 5000)[:60],
    "plain.txt.gz": b"not gzip\n",
    "empty.txt.gz": b"",
    "caf\udce9.txt": b"a name that is not UTF-8\n",
    "odd/caf\udce9.md": b"a name that is not UTF-8\n",
    "bad.parquet": b"PAR1 and no more",
}
INDEX = "indexes/words"
OLD = "old.npy"  # a file that exists; only --overwrite may replace it
OLD_BYTES = b"the old file\n"
ENCODERS = ("encoder", "transformer")


def make_workspace(folder: Path) -> Path:
    """Write all files once; tests copy them."""
    static = make_tiny_static(folder / "encoder")
    make_tiny_encoder(folder / "transformer")
    write_space(folder / "space", teacher="tiny", teacher_hash="ab", components=[[1.0, 0], [0, 1]])
    for name, text in TEXTS.items():
        write_bytes(folder / name, text.encode())
    for name, data in BYTES.items():
        write_bytes(folder / name, data)
    write_beir(folder / "beir" / "c")
    (folder / "loop").symlink_to("loop")
    (folder / "broken.txt").symlink_to("nowhere")
    (folder / "link.txt").symlink_to("notes.txt")
    (folder / "unreadable.txt").symlink_to("/proc/self/mem")
    (folder / "mixed" / "unreadable.md").symlink_to("/proc/self/mem")
    (folder / OLD).write_bytes(OLD_BYTES)
    (folder / "old link").symlink_to(OLD)
    (folder / "dangling link").symlink_to("new target")
    for name in ("null", "full"):  # a faulty command may replace the link, but never the device itself
        (folder / name).symlink_to(f"/dev/{name}")
    write_parquet(folder / "table.parquet")
    documents = [
        Document(str(number), record["text"], metadata={"year": number}) for number, record in enumerate(RECORDS)
    ]
    assert read_card(static).dim
    Index.build(folder / INDEX, documents, encoder=static).close()
    with Index.open(folder / INDEX) as index:
        index.add([Document("later", "a song of war", metadata={"year": None, "lang": "en"})])
        index.delete(["1"])
    return folder


def write_bytes(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_parquet(path: Path) -> None:
    """Write a small table with odd types, where pyarrow is installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return
    columns = {
        "id": [1, 2],
        "text": ["a cat", None],
        "at": pyarrow.array([2**62, 0], pyarrow.timestamp("ns")),
        "far": pyarrow.array([300_000_000_000, 0], pyarrow.timestamp("s")),
        "raw": [b"\xff", b""],
        "list": [[1.0, None], []],
        "map": pyarrow.array([[("a", 1)], None], pyarrow.map_(pyarrow.string(), pyarrow.int64())),
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), path)


def copy_workspace(template: Path, folder: Path) -> Path:
    shutil.copytree(template, folder, symlinks=True)
    os.mkfifo(folder / "fifo")
    return folder


def damage(path: Path, rng: random.Random) -> str:
    """Damage a file, and say how; a folder loses or damages one of its files."""
    if path.is_symlink():
        return f"{path.name}: a link, left as it is"
    if path.is_dir():
        inside = sorted(each for each in path.rglob("*") if each.is_file() and not each.is_symlink())
        if not inside:
            return f"{path.name}: empty"
        return damage(rng.choice(inside), rng)
    how = rng.choice(list(DAMAGES))
    data = path.read_bytes()
    path.unlink()
    changed = DAMAGES[how](data, rng)
    if changed is not None:
        path.write_bytes(changed)
    elif how == "folder":
        path.mkdir()
    elif how == "link loop":
        path.symlink_to(path.name)
    return f"{path.name}: {how}"


def flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 20])):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def change_json(data: bytes, rng: random.Random) -> bytes:
    """Put an odd value somewhere into a JSON text; flip a bit of anything else."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return flip(data, rng)
    odd = rng.choice([None, True, -1, 0, 1e308, 10**30, "", "x", "\ud800", "../x", [], {}, [[]], {"a": {}}, "DEEP"])
    at = value
    while isinstance(at, dict | list) and at:
        key = rng.choice(sorted(at)) if isinstance(at, dict) else rng.randrange(len(at))
        if not isinstance(at[key], dict | list) or rng.random() < 0.3:
            if rng.random() < 0.2 and isinstance(at, dict):
                del at[key]
            else:
                at[key] = odd
            break
        at = at[key]
    return json.dumps(value).replace('"DEEP"', DEEP).encode()


DAMAGES = {
    "cut": lambda data, rng: data[: rng.randrange(len(data) + 1)],
    "empty": lambda data, rng: b"",
    "flip": flip,
    "json": change_json,
    "zeros": lambda data, rng: bytes(len(data)),
    "more": lambda data, rng: data + rng.randbytes(rng.choice([1, 100, 5000])),
    "random": lambda data, rng: rng.randbytes(min(len(data), 5000)),
    "nul": lambda data, rng: data[: len(data) // 2] + b"\0" + data[len(data) // 2 :],
    "bad utf-8": lambda data, rng: data[: len(data) // 2] + b"\xff\xc3" + data[len(data) // 2 :],
    "deep": lambda data, rng: DEEP.encode(),
    "gone": lambda data, rng: None,
    "folder": lambda data, rng: None,
    "link loop": lambda data, rng: None,
}


def fingerprint(folder: Path) -> dict[str, bytes]:
    """Return the contents of a folder's files, without locks and the logs of SQLite."""
    return {
        os.fspath(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm", ".lock"))
    }


def find_kinds(folder: Path) -> dict[str, int]:
    """Return the kind (regular file, folder, link, FIFO) of each entry of a folder."""
    return {path.name: stat.S_IFMT(path.lstat().st_mode) for path in folder.iterdir()}


def read_inputs(folder: Path, damaged: Sequence[str]) -> dict[str, bytes]:
    """Return the contents of the corpora and of the files of encoders, which no command may change."""
    names = [*TEXTS, *BYTES, *(f"{encoder}/tokenizer.json" for encoder in ENCODERS)]
    return {name: (folder / name).read_bytes() for name in names if not name.startswith(tuple(damaged))}
