"""Return a folder with a catalog of three documents."""

import pytest
from catalogs import DOCUMENTS, write

from hpdsearch.catalog import Catalog


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "catalog", DOCUMENTS)


@pytest.fixture
def catalog(folder):
    catalog = Catalog.open(folder)
    yield catalog
    catalog.close()
