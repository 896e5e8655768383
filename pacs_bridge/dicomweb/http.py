"""One HTTP session to one DICOMweb service, and every way in which it can fail as an error that says what to do.

The environment is not consulted (no proxies, no netrc): what a site configures is in its settings.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

import requests
from urllib3.exceptions import ReadTimeoutError

from iodeep.errors import ArchiveError, ArchiveUnreachableError, SettingsError
from iodeep.settings import PacsSettings

_EXCERPT = 300
_READ_OF_ERROR = 1 << 14
_REMEDIES = {
    400: "The server does not take this request: check that the address is the DICOMweb root.",
    401: "Let this machine use the PACS's DICOMweb service, or put user:password@ into the address.",
    403: "Let this machine use the PACS's DICOMweb service (its user or address lacks the right).",
    404: "Check the DICOMweb root in the PACS's address, and that the study is still there.",
    405: "The service does not offer this: enable QIDO-RS, WADO-RS and STOW-RS in the PACS.",
    406: "The server cannot give the stored DICOM files: let it serve application/dicom in any transfer syntax.",
    409: "The server refuses the instances: check that it takes their SOP class.",
    411: "A proxy in between wants another way of sending: address the PACS itself.",
    413: "Raise the body limit of the PACS or its proxy, or lower max_part_size.",
    415: "Let the PACS take multipart/related with application/dicom (STOW-RS).",
    429: "The server is busy: try again later, or send from one place at a time.",
    500: "Look into the server's log.",
    502: "The proxy does not reach the PACS: look there.",
    503: "The server is busy or stopping: try again later.",
    504: "The proxy waited too long for the PACS: try again, or raise its limit.",
    507: "The PACS's storage is full.",
}


class _LiteralWildcards(requests.Session):
    """dicomweb-client encodes ``*`` and ``?``, which RFC 3986 3.4 lets stand and which Orthanc doesn't decode."""

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """The request with the wildcards of its query as they were meant."""
        prepared = super().prepare_request(request)
        address, mark, sought = (prepared.url or "").partition("?")
        prepared.url = address + mark + sought.replace("%2A", "*").replace("%3F", "?")
        return prepared


class Service:
    """The session, the root without credentials, and the time limit of one service."""

    def __init__(self, settings: PacsSettings) -> None:
        if not settings.dicomweb:
            raise SettingsError(
                f"{settings.name} has no DICOMweb address",
                remedy=f'Set dicomweb = "http://host:port/root" under [pacs.{settings.name}].',
            )
        self.root, credentials = _split_credentials(settings.dicomweb)
        self.timeout_s = settings.timeout_s
        self.session: requests.Session = _LiteralWildcards()
        self.session.trust_env = False
        self.session.auth = credentials
        self.session.headers["Accept-Encoding"] = "identity"
        if settings.tls and settings.tls.ca:
            self.session.verify = str(settings.tls.ca)
        if settings.tls and settings.tls.certificate:
            key = settings.tls.key or settings.tls.certificate
            self.session.cert = (str(settings.tls.certificate), str(key))

    @property
    def timeout(self) -> tuple[float, float]:
        """Seconds to connect and seconds without a byte."""
        return (self.timeout_s, self.timeout_s)

    @contextmanager
    def speaking(self, url: str) -> Iterator[None]:
        """Turn what goes wrong while speaking with ``url`` into :class:`~iodeep.errors.ArchiveError`."""
        try:
            yield
        except requests.exceptions.SSLError as error:
            raise ArchiveUnreachableError(
                f"{url}: no trusted TLS connection",
                found=_reason(error),
                remedy="Set tls.ca to the site's CA certificate, and check the name in the server's certificate.",
            ) from error
        except requests.HTTPError as error:
            raise (status_error(url, error.response) if error.response is not None else _failed(url, error)) from error
        except requests.exceptions.ChunkedEncodingError as error:
            raise ArchiveError(
                f"{url}: the answer ended before it was complete",
                found=_reason(error),
                remedy="Try again; if it stays, look into the server's log.",
            ) from error
        except requests.Timeout as error:
            raise self._silence(url) from error
        except requests.exceptions.JSONDecodeError as error:
            raise ArchiveError(f"{url}: the answer is not DICOM JSON", remedy=_REMEDIES[400]) from error
        except requests.ConnectionError as error:
            if error.args and isinstance(error.args[0], ReadTimeoutError):
                raise self._silence(url) from error
            raise ArchiveUnreachableError(
                f"{url}: nothing answers, or the connection was lost",
                found=_reason(error),
                remedy="Check host and port, that the PACS's DICOMweb service runs, and the firewall.",
            ) from error
        except requests.RequestException as error:
            raise _failed(url, error) from error
        except OSError as error:  # requests tells of a missing CA or certificate file like this
            raise SettingsError(f"{url}: {error}", remedy="Check tls.ca, tls.certificate and tls.key.") from error

    def _silence(self, url: str) -> ArchiveUnreachableError:
        return ArchiveUnreachableError(
            f"{url}: no sign of life for {self.timeout_s:g} s",
            remedy="Check that the PACS runs; raise timeout_s if it is only slow.",
        )

    def close(self) -> None:
        """End the kept connections."""
        self.session.close()


def raise_for_status(url: str, response: requests.Response) -> None:
    """Raise what a status other than 2xx means."""
    if not 200 <= response.status_code < 300:
        raise status_error(url, response)


def status_error(url: str, response: requests.Response) -> ArchiveError:
    """The status, what the server says of it, and what to do."""
    return ArchiveError(
        f"{url}: HTTP {response.status_code} {response.reason}",
        found=excerpt(response) or None,
        remedy=_REMEDIES.get(response.status_code, "Look into the server's log."),
    )


def excerpt(response: requests.Response) -> str:
    """The beginning of what a server says, on one line; Orthanc says it in JSON."""
    octets = next(response.iter_content(_READ_OF_ERROR), b"")
    text = octets.decode("utf-8", "replace")
    try:
        said = json.loads(text)
    except ValueError:
        said = None
    if isinstance(said, dict):
        text = str(said.get("Details") or said.get("Message") or said.get("message") or text)
    return " ".join(text.split())[:_EXCERPT]


def _failed(url: str, error: Exception) -> ArchiveError:
    return ArchiveError(f"{url}: the request failed", found=_reason(error))


def _split_credentials(url: str) -> tuple[str, tuple[str, str] | None]:
    split = urlsplit(url.rstrip("/"))
    if split.scheme not in ("http", "https") or not split.hostname:
        raise SettingsError(
            f"the DICOMweb root {url!r} is not an HTTP address", remedy='Write dicomweb = "http://host:port/root".'
        )
    if split.username is None:
        return urlunsplit(split), None
    bare = split._replace(netloc=split.netloc.rpartition("@")[2])
    return urlunsplit(bare), (split.username, split.password or "")


def _reason(error: Exception) -> str:
    """The innermost cause: urllib3 wraps it in layers that say nothing to people."""
    cause: BaseException = error
    while True:
        inner = getattr(cause, "reason", None)
        inside = (
            inner
            if isinstance(inner, BaseException)
            else next((argument for argument in cause.args if isinstance(argument, BaseException)), cause.__cause__)
        )
        if inside is None or inside is cause:
            return str(cause)[:_EXCERPT]
        cause = inside
