"""Patterns as in .gitignore that choose among the files of a folder."""

from collections.abc import Sequence
from typing import Any

from hpdsearch.errors import CorpusError


class PathFilter:
    """Chooses files by their path inside the folder that the user named.

    A file is read if it matches `include`, or if there is none, and does not match `exclude`.
    """

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        """Compile the patterns.

        Raises:
            CorpusError: a pattern is invalid.
        """
        self._include = compile_patterns("--include", include)
        self._exclude = compile_patterns("--exclude", exclude)

    def accepts(self, inside: str) -> bool:
        """Return whether a file is read."""
        if self._include is not None and not self._include.match_file(inside):
            return False
        return self._exclude is None or not self._exclude.match_file(inside)

    def enters(self, inside: str) -> bool:
        """Return whether a folder may hold files that are read; the folder is given without "/" at its end."""
        return self._exclude is None or not self._exclude.match_file(f"{inside}/")


def compile_patterns(option: str, patterns: Sequence[str]) -> Any:
    """Return the patterns of an option; None if there are none.

    Raises:
        CorpusError: a pattern is invalid.
    """
    if not patterns:
        return None
    from pathspec import GitIgnoreSpec

    for pattern in patterns:
        try:
            compiled = GitIgnoreSpec.from_lines([pattern])
        except ValueError as error:
            raise CorpusError(f"{option}: expected a pattern as in .gitignore, got {pattern!r} ({error})") from None
        if all(each.include is None for each in compiled.patterns):
            raise CorpusError(f"{option}: expected a pattern as in .gitignore, got {pattern!r}, which matches nothing")
    return GitIgnoreSpec.from_lines(patterns)
