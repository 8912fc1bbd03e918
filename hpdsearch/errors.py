"""The errors that hpdsearch raises on purpose.

Each message says where, what was expected, what came and what to do. The command line prints it as one line and exits
with code 1. Any other exception is a bug and keeps its traceback.
"""

from importlib.util import find_spec

RESTORE = "restore it, or index again with --overwrite"  # advice for a file that the catalog names
RESTORE_CATALOG = "restore it, or index again into another folder"  # a corrupt catalog cannot be overwritten


class HpdsearchError(Exception):
    """Base of every error that hpdsearch raises on purpose."""


class ShapeError(HpdsearchError, ValueError):
    """An array or a number does not have the shape or range that was expected."""


class CorpusError(HpdsearchError, ValueError):
    """A corpus cannot be read; the message names file and line."""


class QueryError(HpdsearchError, ValueError):
    """A query or one of its options is invalid."""


class FilterError(QueryError):
    """A filter cannot be parsed or can never match; the message points at the character."""


class EncoderError(HpdsearchError, ValueError):
    """An encoder folder is missing or corrupt, or has another format or space."""


class DistillError(HpdsearchError, ValueError):
    """A distillation has invalid settings or texts, or its training diverged."""


class CacheError(HpdsearchError):
    """A cache of teacher embeddings belongs to another teacher or cannot be read."""


class IndexFolderError(HpdsearchError):
    """An index folder is missing or foreign, has another format, holds nothing committed, or cannot be written."""


class NothingCommittedError(IndexFolderError):
    """The first build of an index folder has not ended, or was stopped."""


class CorruptIndexError(IndexFolderError):
    """A file of an index folder is missing, truncated or altered."""


class ChangedIndexError(IndexFolderError):
    """A writer changed an index while it was read where its files cannot be locked."""


class LockedError(IndexFolderError):
    """Another process or thread is writing to the index folder."""


class OutputError(HpdsearchError):
    """A file that the user named for results exists, is read too, or cannot be written."""


class ServeError(HpdsearchError, ValueError):
    """The HTTP service has invalid settings, or cannot listen on its address."""


class ClusterError(HpdsearchError, RuntimeError):
    """A Ray cluster cannot be reached, lost a job again and again, or gave no answer in time."""


class PlanError(HpdsearchError, ValueError):
    """A capacity plan has invalid settings, or needs a figure that was not measured."""


class MissingExtraError(HpdsearchError, ImportError):
    """An optional dependency is not installed; the message holds the command that installs it."""


def require_extra(*packages: str, extra: str, feature: str) -> None:
    """Check that optional dependencies are installed, before any work is done.

    Args:
        packages: the names that are imported.
        extra: the extra in setup.cfg that installs them.
        feature: the subject of the message: "distill", or "backend torch".

    Raises:
        MissingExtraError: one of them is not installed.
    """
    for package in packages:
        if find_spec(package) is None:
            raise MissingExtraError(f'{feature} needs {package}: pip install "hpdsearch[{extra}]"')
