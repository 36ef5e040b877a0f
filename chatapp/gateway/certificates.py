"""The certificate and key of a listener: what is wrong with them is said at start, by file, with what to do.

OpenSSL says `PEM lib` of a dozen different mistakes, asks the terminal for the passphrase of an encrypted key, and
serves a certificate that has expired without a word; then every client fails, one by one, later.
"""

from __future__ import annotations

import re
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any

from chatapp.errors import UsageError
from chatapp.text.sanitize import sanitize_line

_ROUNDS = 4
"""Exchanges that a handshake in memory may take; TLS 1.3 takes two."""

_BLOCK = re.compile(r"-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----.*?-----END \1-----", re.DOTALL)
"""A certificate in a PEM file; the first is the server's own, the others lead to one that clients know."""

_DATES = {9, 10}
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED (openssl/x509_vfy.h)."""

_PURPOSE = 26
"""X509_V_ERR_INVALID_PURPOSE."""


def load_certificate(cert: Path, key: Path) -> ssl.SSLContext:
    """Return the TLS configuration of a server, 1.2 and newer.

    Raises:
        UsageError: a file is missing, unreadable or not what it should be, the key is encrypted or another
            certificate's, or every client would refuse the certificate: it has expired, is not valid yet, or not
            for servers.
    """
    chain = _read(cert, "CERTIFICATE", "certificate")
    _read(key, "PRIVATE KEY", "key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key, password=lambda: _refuse_passphrase(key))
    except ssl.SSLError as exc:
        raise _mistake(exc, cert, key, chain) from None
    own = _BLOCK.search(chain)
    if own is not None:
        _meet(_alone(own[0], key) or context, cert, own[0])
    return context


def late_certificates(cert: Path) -> list[str]:
    """Return a line about each authority in a certificate's file that is out of its dates.

    No reason to refuse: a client that knows a newer certificate of the same authority never looks at it.
    """
    lines = []
    for number, found in enumerate(_BLOCK.finditer(_read(cert, "CERTIFICATE", "certificate")), start=1):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=found[0])
        lines += [
            f"certificate {number} in {cert} ({_name(authority)}) {said}; clients that know no newer one refuse"
            for authority in context.get_ca_certs()
            if number > 1 and (said := _late(authority))
        ]
    return lines


def _late(authority: dict[str, Any]) -> str:
    before, after = authority["notBefore"], authority["notAfter"]
    if time.time() > ssl.cert_time_to_seconds(after):
        return f"expired on {after}"
    return f"is not valid before {before}" if time.time() < ssl.cert_time_to_seconds(before) else ""


def _name(authority: dict[str, Any]) -> str:
    """Return the last and most particular part of the subject."""
    parts = [value for part in authority["subject"] for _key, value in part]
    return sanitize_line(parts[-1], limit=80) if parts else "without a name"


def _alone(own: str, key: Path) -> ssl.SSLContext | None:
    """Return a server that shows its own certificate only, None where there is no place for a file.

    OpenSSL judges the dates of every certificate that is shown, also above one that is trusted, and has no way to say
    which one it means; and it takes a server's certificate from a file only.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "own.pem")
            path.write_text(own, encoding="ascii")
            context.load_cert_chain(path, key)
    except OSError:
        return None
    return context


def _meet(context: ssl.SSLContext, cert: Path, own: str) -> None:
    """Meet the server in memory, as a client that trusts exactly the server's own certificate.

    Not the others of the file: which way a client takes from there is known to the client only.

    Raises:
        UsageError: it has expired, is not valid yet, or cannot be served at all.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False  # under which names it is reached, nobody knows here
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cadata=own)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = client.wrap_bio(to_client, to_server), context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(_ROUNDS):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as exc:
                raise UsageError(
                    f"certificate {cert} would be refused by every client: {exc.verify_message}",
                    hint=_what_to_do(exc.verify_code),
                ) from None
            except ssl.SSLError as exc:
                raise UsageError(f"certificate {cert} cannot be served: {_words(exc)}") from None


def _what_to_do(code: int) -> str:
    if code in _DATES:
        return "renew it; if its dates are right, this machine's clock is wrong"
    return "a server's certificate needs the extended key usage serverAuth" if code == _PURPOSE else ""


def _read(path: Path, what: str, name: str) -> str:
    try:
        # Comments may be in any language, but OpenSSL takes nothing but ASCII from a string.
        text = path.read_text(encoding="ascii", errors="ignore")
    except OSError as exc:
        option = "--tls-cert" if name == "certificate" else "--tls-key"
        raise UsageError(
            f"{name} {path} cannot be read: {exc.strerror or exc}", hint=f"{option} names a PEM file"
        ) from None
    if f"{what}-----" in text:
        return text
    if "-----BEGIN" in text:
        hint = "are --tls-cert and --tls-key the right way round?"
        raise UsageError(f"{name} {path} holds no {what.lower()}", hint=hint)
    hint = f"openssl {'x509' if name == 'certificate' else 'pkey'} -inform DER -in {path} converts the binary form"
    raise UsageError(f"{name} {path} is not in PEM form", hint=hint)


def _refuse_passphrase(key: Path) -> str:
    raise UsageError(
        f"key {key} is encrypted, and nobody is there to be asked for its passphrase",
        hint=f"openssl pkey -in {key} -out plain.pem writes it without; chmod 600 plain.pem",
    )


def _mistake(exc: ssl.SSLError, cert: Path, key: Path, chain: str) -> UsageError:
    """Return which of the two files is at fault."""
    if exc.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
        return UsageError(
            f"key {key} does not belong to certificate {cert}", hint="a renewed certificate may have a new key"
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=chain)
    except ssl.SSLError as broken:
        return UsageError(f"certificate {cert} is damaged: {_words(broken)}", hint="copy it again, whole")
    if exc.reason in ("EE_KEY_TOO_SMALL", "CA_MD_TOO_WEAK", "CA_KEY_TOO_SMALL"):
        return UsageError(f"certificate {cert} is too weak to be served: {_words(exc)}", hint="make a new one")
    return UsageError(f"key {key} is damaged: {_words(exc)}", hint="copy it again, whole")


def _words(exc: ssl.SSLError) -> str:
    return (exc.reason or str(exc)).lower().replace("_", " ")
