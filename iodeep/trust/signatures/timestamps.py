"""Time stamps over signatures (RFC 3161): when a signature was there already, by the word of a time authority.

A time stamp is added to a signature and is not part of what it signs: one that does not hold gives nothing, and takes nothing away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from asn1crypto.cms import ContentInfo
from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    PKIStatus,
    TimeStampRequest,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerifierBuilder,
    decode_timestamp_response,
)

from iodeep.errors import InputError
from iodeep.model_object import Signature
from iodeep.trust.signatures.der import granted, response_in_order

MOST_BYTES = 1 << 16
"""Of a token or an answer; those with whole chains of certificates have a tenth of that."""


@dataclass(frozen=True)
class Stamp:
    """The moment that a time authority vouches for, or why there is none."""

    moment: datetime | None
    problem: str = ""


def stamped_value(signature: Signature) -> bytes:
    """What a time stamp is over: the signature's value, without the zero that an OB of odd length is padded with."""
    if not signature.type_and_key.startswith("CMS"):
        return signature.value
    return bytes(ContentInfo.load(signature.value).dump())


def timestamp_request(signature: Signature) -> TimeStampRequest:
    """What a time authority is asked (RFC 3161 2.4.1), with SHA-256, a nonce, and for its certificate."""
    builder = TimestampRequestBuilder().data(stamped_value(signature)).hash_algorithm(HashAlgorithm.SHA256)
    return builder.nonce(nonce=True).cert_request(cert_request=True).build()


def token_of_response(encoded: bytes, request: TimeStampRequest, origin: str) -> bytes:
    """The token of the authority's answer; InputError where it is not an answer to this request."""
    try:
        response = decode_timestamp_response(response_in_order(encoded[:MOST_BYTES]))
        good = PKIStatus(response.status) is PKIStatus.GRANTED
        told = "" if good else f"status {PKIStatus(response.status).name}, {', '.join(response.status_string or ())}"
        if good and response.tst_info.nonce != request.nonce:
            told = "it answers another request"
        if good and response.tst_info.message_imprint.message != request.message_imprint.message:
            told = "it is over something else"
    except (ValueError, TypeError, StopIteration, RecursionError) as error:
        told = f"it is not one that can be read ({error})"
    if told:
        raise InputError(
            f"the time authority {origin} gave no time stamp: {told}",
            remedy="Ask its operator, name another one, or sign without --timestamp.",
        )
    return bytes(response.time_stamp_token())


def stamp_of(signature: Signature, authorities: Sequence[x509.Certificate]) -> Stamp:
    """When the signature was there already, as one of the authorities says whose certificates the site trusts."""
    if not signature.timestamp:
        return Stamp(None)
    if not authorities:
        return Stamp(None, "its time stamp was not looked at: this site trusts no time authority (time_authorities)")
    try:
        response = _response_of(signature.timestamp)
        moment = response.tst_info.gen_time.astimezone(UTC)
        verifier = VerifierBuilder(roots=list(authorities)).build()
        verifier.verify_message(response, stamped_value(signature))
    except Exception as error:  # boundary: readers of what came from outside raise whatever it makes them raise
        return Stamp(None, f"its time stamp does not hold ({error})")
    return Stamp(moment)


def _response_of(token: bytes) -> TimeStampResponse:
    """The token in an answer again, as the verifier takes it."""
    return decode_timestamp_response(granted(token[:MOST_BYTES]))
