"""Opens the store behind a lake's URL: a folder, `s3://`, `gs://` or `az://`, by the environment's credentials."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

from workers.failures import SourceError, message

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

ObjectStore = LocalStore | S3Store | GCSStore | AzureStore
PUBLIC_REGIONS = {"aws-public-blockchain": "us-east-2"}  # the public lakes, where the environment names no region
_NO_RETRIES: RetryConfig = {"max_retries": 0}  # tenacity does them, by the rule that all of the program follows
_TRUE = {"1", "true", "yes", "on", "y", "t"}
_CREDENTIALS = {
    "AWS": (
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ),
    "GOOGLE": (
        "GOOGLE_SERVICE_ACCOUNT",
        "GOOGLE_SERVICE_ACCOUNT_PATH",
        "GOOGLE_SERVICE_ACCOUNT_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
    ),
    "AZURE": (
        "AZURE_STORAGE_ACCOUNT_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_CLIENT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_TOKEN",
        "AZURE_FEDERATED_TOKEN_FILE",
    ),
}


def open_store(url: str, *, timeout_s: float) -> ObjectStore:
    """Open the store at `url`; no request is made. `SourceError` when the URL or the environment cannot be used."""
    scheme = urlsplit(url).scheme if "://" in url else ""
    try:
        if scheme in ("", "file"):
            return _folder(url, scheme)
        if scheme in ("s3", "s3a"):
            return _s3(url, timeout_s)
        if scheme in ("gs", "az", "abfs", "abfss"):
            return _other_cloud(url, scheme, timeout_s)
    except SourceError:
        raise
    except Exception as error:  # obstore has a dozen ways to refuse a URL or a setting: each is the user's to mend
        raise SourceError(f"cannot open lake {url}: {message(error)}") from error
    raise SourceError(f"unknown kind of lake: {url} (a folder, file://, s3://, gs:// or az://)")


def _folder(url: str, scheme: str) -> LocalStore:
    parts = urlsplit(url)
    if scheme and parts.netloc not in ("", "localhost"):
        raise SourceError(f"lake {url} names the host {parts.netloc!r}: a folder is file:///path")
    path = Path(unquote(parts.path) if scheme else url).expanduser()
    if not path.is_dir():
        raise SourceError(f"no folder {path}")
    return LocalStore(path.resolve())


def _s3(url: str, timeout_s: float) -> S3Store:
    env = os.environ
    options = _client("AWS", env, timeout_s)
    endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or env.get("AWS_ENDPOINT") or ""
    if endpoint.startswith("http://") and not options.get("allow_http"):
        raise SourceError(f"endpoint {endpoint} is not encrypted: set AWS_ALLOW_HTTP=true to use it all the same")
    settings: dict[str, str] = {}
    bucket = urlsplit(url).netloc
    if bucket in PUBLIC_REGIONS and not (endpoint or env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION")):
        settings["region"] = PUBLIC_REGIONS[bucket]
    return S3Store.from_url(
        url,
        client_options=options,
        retry_config=_NO_RETRIES,
        skip_signature=_anonymous("AWS", env),
        **settings,  # type: ignore[arg-type]  # one key at most, whose value is a text
    )


def _other_cloud(url: str, scheme: str, timeout_s: float) -> GCSStore | AzureStore:
    prefix = "GOOGLE" if scheme == "gs" else "AZURE"
    kind = GCSStore if scheme == "gs" else AzureStore
    return kind.from_url(
        url,
        client_options=_client(prefix, os.environ, timeout_s),
        retry_config=_NO_RETRIES,
        skip_signature=_anonymous(prefix, os.environ),
    )


def _client(prefix: str, env: Mapping[str, str], timeout_s: float) -> ClientConfig:
    """Return the client's options; given any, obstore takes none of them from the environment by itself."""
    options: ClientConfig = {
        "timeout": f"{int(timeout_s * 1000)}ms",
        "connect_timeout": f"{int(min(timeout_s, 5.0) * 1000)}ms",
        "allow_http": _is_true(env.get(f"{prefix}_ALLOW_HTTP")),
        "allow_invalid_certificates": _is_true(env.get(f"{prefix}_ALLOW_INVALID_CERTIFICATES")),
    }
    proxy = env.get(f"{prefix}_PROXY_URL")
    if proxy:
        options["proxy_url"] = proxy
    return options


def _anonymous(prefix: str, env: Mapping[str, str]) -> bool:
    """Requests go unsigned where the environment says so, or names no credentials (instance metadata is asked for
    with `…_SKIP_SIGNATURE=false`).
    """
    said = env.get(f"{prefix}_SKIP_SIGNATURE")
    if said is not None:
        return _is_true(said)
    return not any(env.get(name) for name in _CREDENTIALS[prefix])


def _is_true(value: str | None) -> bool:
    return (value or "").strip().lower() in _TRUE
