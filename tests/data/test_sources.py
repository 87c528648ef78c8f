"""Published files: fetched, unpacked, checked; packages that are not installed."""

import hashlib
import io
import sys
import zipfile

import pytest
import requests

from seqjax.data import parallel
from seqjax.data.parallel import load, split_by_source
from seqjax.data.sources import Source, default_data_dir, fetch, sha256_of
from seqjax.data.tokenizers import SubwordTokenizer
from tests.parallel_corpora import PAIRS, as_tsv, refused, sha256

ZIPPED = as_tsv(PAIRS, more="\tmore").encode()


def archive(*members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for member, content in members:
            file.writestr(member, content)
    return buffer.getvalue()


@pytest.fixture
def zipped(monkeypatch, internet):
    """A published archive, ready for one download."""
    content = archive(("fra-eng/_about.txt", "about"), ("fra-eng/fra.txt", ZIPPED))
    source = parallel._FRA_ENG._replace(
        sha256=sha256(ZIPPED),
        archive_hash="sha1:" + hashlib.sha1(content).hexdigest(),
    )
    monkeypatch.setattr(parallel, "_FRA_ENG", source)
    internet.append(content)
    return source


def test_a_file_in_an_archive_is_fetched_once(tmp_path, zipped, internet):
    corpus = load("fra_eng", tmp_path)
    assert corpus == split_by_source("fra_eng", PAIRS, sha256(ZIPPED))
    assert internet == []
    assert (tmp_path / "fra_eng" / "fra.txt").read_bytes() == ZIPPED
    kept = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(kept) == ["fra-eng.zip", "fra.txt"]
    assert load("fra_eng", tmp_path) == corpus  # there is no second download


def test_a_deleted_file_is_unpacked_again_from_its_archive(tmp_path, zipped, internet):
    path = fetch("fra_eng", zipped, tmp_path)
    path.unlink()
    assert fetch("fra_eng", zipped, tmp_path) == path
    assert path.read_bytes() == ZIPPED
    assert internet == []


def test_an_archive_with_another_checksum_is_not_kept(tmp_path, zipped, internet):
    internet[:] = [archive(("fra-eng/fra.txt", ZIPPED))]  # with the right file
    message = refused(load, "fra_eng", tmp_path)
    path = tmp_path / "fra_eng" / "fra.txt"
    assert message.startswith(
        f"{path} does not exist and could not be fetched from {zipped.url}: "
    )
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"member": "fra-eng/eng.txt"}, "could not be fetched"),
        ({"sha256": "0" * 64}, "is not the published fra_eng file"),
    ],
)
def test_an_archive_of_another_file_is_refused(tmp_path, zipped, change, told):
    assert told in refused(fetch, "fra_eng", zipped._replace(**change), tmp_path)


def test_a_failed_download_from_an_archive_is_an_error_of_one_sentence(
    tmp_path, internet
):
    internet.append(requests.exceptions.ConnectionError("no route to host\nand more"))
    message = refused(load, "fra_eng", tmp_path)
    assert "fra-eng.zip: no route to host" in message
    assert "and more" not in message


def test_a_source_without_an_archive_is_downloaded(tmp_path, internet):
    internet.append(b"text")
    source = Source("file.txt", sha256(b"text"), "https://example.org/other.txt")
    path = fetch("own", source, tmp_path)
    assert path == tmp_path / "own" / "file.txt"
    assert path.read_bytes() == b"text"


def test_one_file_has_its_own_checksum_and_several_have_that_of_their_checksums():
    one, two = b"one\n", b"two\n"
    assert sha256_of(one) == sha256(one)
    assert sha256_of(one, two) == sha256((sha256(one) + sha256(two)).encode())
    assert sha256_of(one + two) != sha256_of(one, two) != sha256_of(b"one\ntwo", b"\n")


@pytest.fixture
def missing(monkeypatch):
    """missing(name): a package is not installed."""
    return lambda name: monkeypatch.setitem(sys.modules, name, None)


def test_without_pooch_files_are_read_and_downloads_name_the_extra(
    tmp_path, monkeypatch, missing
):
    missing("pooch")
    path = tmp_path / "own" / "file.txt"
    source = Source("file.txt", sha256(b"text"), "https://example.org/file.txt")
    extra = 'needs pooch: pip install "seqjax[experiments]".'
    assert refused(fetch, "own", source, tmp_path) == (
        f"{path} does not exist, and its download {extra}"
    )
    path.parent.mkdir()
    path.write_bytes(b"text")
    assert fetch("own", source, tmp_path) == path
    monkeypatch.delenv("SEQJAX_DATA_DIR", raising=False)
    assert refused(default_data_dir) == (
        f"SEQJAX_DATA_DIR is not set, and the default data folder {extra}"
    )


def test_without_sentencepiece_subwords_name_the_extra(missing):
    missing("sentencepiece")
    sentence = 'subwords need sentencepiece: pip install "seqjax[experiments]".'
    assert refused(SubwordTokenizer.train, ["a b"], 10) == sentence
    assert refused(SubwordTokenizer, b"model") == sentence
