"""A time authority made with OpenSSL (`openssl ts`), as a function and as an HTTP server on loopback."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from cryptography import x509

_CONFIGURATION = """\
[req]
distinguished_name = dn
[dn]
[ca]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[tsa]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[time_authority]
serial = serial
signer_cert = tsa.pem
certs = ca.pem
signer_key = tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
ess_cert_id_alg = sha256
"""
_MAKING = """\
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 3000 -subj /CN=TimeCA -config c.cnf -extensions ca
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tsa.key -out tsa.csr -subj /CN=Time -config c.cnf
openssl x509 -req -in tsa.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out tsa.pem -days 2000 -extfile c.cnf -extensions tsa
"""


@dataclass(frozen=True)
class TimeAuthority:
    """Its files."""

    folder: Path

    @property
    def ca(self) -> Path:
        """The certificate that a site trusts."""
        return self.folder / "ca.pem"

    @property
    def certificate(self) -> x509.Certificate:
        """The same, read."""
        return x509.load_pem_x509_certificate(self.ca.read_bytes())

    def answer(self, question: bytes) -> bytes:
        """The answer to a request (RFC 3161)."""
        (self.folder / "question").write_bytes(question)
        command = "openssl ts -reply -queryfile question -config c.cnf -section time_authority -out answer"
        self._run(command)
        return (self.folder / "answer").read_bytes()

    def make(self) -> TimeAuthority:
        """Keys and certificates."""
        self.folder.mkdir()
        (self.folder / "c.cnf").write_text(_CONFIGURATION)
        (self.folder / "serial").write_text("01\n")
        for command in _MAKING.splitlines():
            self._run(command)
        return self

    def _run(self, command: str) -> None:
        environment = {"PATH": os.environ["PATH"], "OPENSSL_CONF": str(self.folder / "c.cnf")}
        subprocess.run(command.split(), cwd=self.folder, env=environment, check=True, capture_output=True)


@contextmanager
def answering(authority: TimeAuthority, spoil: bytes | None = None) -> Iterator[str]:
    """The authority's URL; ``spoil``: what it answers instead."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["Content-Type"] == "application/timestamp-query"
            answer = authority.answer(question) if spoil is None else spoil
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing is said."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()
