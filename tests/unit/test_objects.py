"""Which store a URL opens, and with whose credentials: decided without a request."""

from __future__ import annotations

import pytest
from obstore.store import AzureStore, GCSStore, S3Store

from workers.sources.objects import open_store

PUBLIC = "s3://aws-public-blockchain/v1.1/stellar/ledgers/pubnet/"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ACCESS_KEY_ID", "SKIP_SIGNATURE", "REGION", "DEFAULT_REGION", "ENDPOINT_URL", "ENDPOINT"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)


@pytest.mark.parametrize(
    ("url", "kind", "prefix"),
    [
        ("s3://bucket/a/lake/", S3Store, "a/lake"),
        ("gs://bucket/a/lake", GCSStore, "a/lake"),
        ("az://container/a/lake", AzureStore, "a/lake"),
    ],
)
def test_url_opens_its_kind_of_store_under_its_prefix(
    url: str, kind: type, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each scheme has its store, and keys count from the URL's path."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    store = open_store(url, timeout_s=30.0)
    assert isinstance(store, kind)
    assert store.prefix == prefix


def test_public_lake_is_asked_in_its_own_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public lake needs no setting; a region in the environment stands before what the program knows."""
    public = open_store(PUBLIC, timeout_s=30.0)
    assert isinstance(public, S3Store)
    assert public.config.get("region") == "us-east-2"
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    named = open_store(PUBLIC, timeout_s=30.0)
    assert isinstance(named, S3Store)
    assert named.config.get("region") != "us-east-2"


def test_timeouts_are_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request's time is bounded as asked, and connecting takes five seconds of it at most."""
    monkeypatch.setenv("AWS_PROXY_URL", "http://127.0.0.1:9")
    store = open_store("s3://bucket/lake", timeout_s=12.5)
    assert isinstance(store, S3Store)
    options = store.client_options or {}
    assert (options.get("timeout"), options.get("connect_timeout")) == ("12500ms", "5000ms")
    assert options.get("proxy_url") == "http://127.0.0.1:9"
