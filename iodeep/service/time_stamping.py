"""Time stamps from a time authority over HTTP (RFC 3161 3.4). It learns the digest of a signature, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import httpx

from iodeep.errors import InputError
from iodeep.model_object import Signature
from iodeep.trust.signatures.timestamps import MOST_BYTES, timestamp_request, token_of_response

LONGEST_S = 30.0


def time_stamped(signature: Signature, url: str) -> Signature:
    """The signature with the authority's time stamp, which answers exactly this request.

    Whether a site believes that authority is the site's matter. Errors: :class:`iodeep.errors.InputError`.
    """
    request = timestamp_request(signature)
    return replace(signature, timestamp=token_of_response(_answer(url, request.as_bytes()), request, url))


def _answer(url: str, question: bytes) -> bytes:
    headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
    try:
        with httpx.stream("POST", url, content=question, headers=headers, timeout=LONGEST_S) as answer:
            content = b""
            for piece in answer.iter_bytes():
                content += piece
                if len(content) > MOST_BYTES:
                    break
            found = f"{answer.status_code} {answer.reason_phrase}"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise InputError(
            f"the time authority {url} does not answer: {error}",
            remedy="Look at the address, or sign without --timestamp.",
        ) from error
    if answer.status_code != httpx.codes.OK:
        raise InputError(f"the time authority {url} gave no time stamp", expected="200", found=found)
    return content
