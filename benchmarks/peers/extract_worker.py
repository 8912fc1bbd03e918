"""Extract files by a program, in its own environment.

    python extract_worker.py PROGRAM < names.txt

Each line of standard input is the name of a file. Standard output has a line of JSON for each: seconds and text, or an
error; and one at the end, with the peak of resident memory, and license, version and installed bytes of the program
with the packages that it needs.
"""

import json
import re
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

CLOSERS: list[Callable[[], None]] = []  # end what a program has started
EXTRAS = {"markitdown": {"docx", "pdf", "pptx", "xlsx"}}
OWN = "hpdsearch"
PACKAGES = {OWN: ["pypdfium2", "python-docx", "python-pptx", "openpyxl", "lxml"]}  # others: the program itself


def open_program(name: str) -> Callable[[str], str]:
    """Return the function of a program that returns the text of a file."""
    if name == OWN:
        from hpdsearch.corpus.extraction import ExtractionLimits, Extractor

        extractor = Extractor(ExtractionLimits())
        CLOSERS.append(extractor.close)

        def extract(path: str) -> str:
            found = extractor.extract(Path(path), path, Path(path).suffix.lower())
            return "\n".join(f"{each.title}\n{each.text}" for each in found)

        return extract
    if name == "kreuzberg":
        from kreuzberg import ExtractionConfig, extract_file_sync

        config = ExtractionConfig(use_cache=False)
        return lambda path: extract_file_sync(path, config=config).content
    if name == "markitdown":
        from markitdown import MarkItDown

        converter = MarkItDown(enable_plugins=False)
        return lambda path: converter.convert_local(path).text_content
    if name == "pypdf":
        from pypdf import PdfReader

        return lambda path: "\n".join(page.extract_text() for page in PdfReader(path).pages)
    if name == "pdfplumber":
        import pdfplumber

        def read(path: str) -> str:
            parts = []
            with pdfplumber.open(path) as opened:
                for page in opened.pages:
                    parts.append(page.extract_text() or "")
                    page.close()
            return "\n".join(parts)

        return read
    raise SystemExit(f"expected a program, got {name}")


def list_packages(name: str, extras: set[str], found: set[str]) -> set[str]:
    """Return the names of a package and of all that it needs, as far as they are installed."""
    from packaging.requirements import Requirement

    key = re.sub(r"[-_.]+", "-", name).lower()
    if key in found:
        return found
    try:
        needed = distribution(key).requires or []
    except PackageNotFoundError:
        return found
    found.add(key)
    for line in needed:
        requirement = Requirement(line)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in ("", *extras)):
            list_packages(requirement.name, set(requirement.extras), found)
    return found


def describe(name: str) -> dict[str, object]:
    """Return licenses, versions, number of packages and installed bytes of a program."""
    roots = PACKAGES.get(name, [name])
    packages: set[str] = set()
    for root in roots:
        list_packages(root, EXTRAS.get(name, set()), packages)
    files = {Path(file.locate()) for package in packages for file in distribution(package).files or []}
    return {
        "licenses": {root: find_license(root) for root in roots},
        "versions": {root: distribution(root).version for root in roots},
        "n_packages": len(packages),
        "bytes": sum(file.stat().st_size for file in files if file.is_file()),
    }


def find_license(package: str) -> str:
    """Return the license that the metadata of a package name."""
    metadata = distribution(package).metadata
    classifiers = [each for each in metadata.get_all("Classifier") or [] if each.startswith("License ::")]
    stated = metadata.get("License-Expression") or metadata.get("License") or ""
    return stated if 0 < len(stated) < 60 else "; ".join(each.rpartition(" :: ")[2] for each in classifiers)


def main() -> None:
    """Read the names, extract, print."""
    name = sys.argv[1]
    read = open_program(name)
    for line in sys.stdin:
        start = time.perf_counter()
        try:
            answer: dict[str, object] = {"text": read(line.rstrip("\n"))}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:200]}
        print(json.dumps({"seconds": time.perf_counter() - start, **answer}), flush=True)
    for close in CLOSERS:
        close()
    who = resource.RUSAGE_CHILDREN if name == OWN else resource.RUSAGE_SELF
    peak = resource.getrusage(who).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"peak_bytes": peak, **describe(name)}))


if __name__ == "__main__":
    main()
