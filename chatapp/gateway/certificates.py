"""The certificate and key of a listener: what is wrong with them is said at start, by file, with what to do.

OpenSSL says `PEM lib` of a dozen different mistakes, asks the terminal for the passphrase of an encrypted key, and
serves a certificate that has expired without a word; then every client fails, one by one, later.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from chatapp.errors import UsageError

_ROUNDS = 4
"""Exchanges that a handshake in memory may take; TLS 1.3 takes two."""


def load_certificate(cert: Path, key: Path) -> ssl.SSLContext:
    """Return the TLS configuration of a server, 1.2 and newer.

    Raises:
        UsageError: a file is missing, unreadable or not what it should be, the key is encrypted or another
            certificate's, or clients would refuse the certificate because of its dates.
    """
    chain = _read(cert, "CERTIFICATE", "certificate")
    _read(key, "PRIVATE KEY", "key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key, password=lambda: _refuse_passphrase(key))
    except ssl.SSLError as exc:
        raise _mistake(exc, cert, key, chain) from None
    check_dates(context, cert, chain)
    return context


def check_dates(context: ssl.SSLContext, cert: Path, chain: str) -> None:
    """Meet the server in memory, as a client that trusts exactly this certificate.

    Raises:
        UsageError: it has expired, is not valid yet, or cannot be served at all.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False  # under which names it is reached, nobody knows here
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(cadata=chain)
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
                    hint="renew it; if its dates are right, this machine's clock is wrong",
                ) from None
            except ssl.SSLError as exc:
                raise UsageError(f"certificate {cert} cannot be served: {_words(exc)}") from None


def _read(path: Path, what: str, name: str) -> str:
    try:
        text = path.read_text(encoding="ascii", errors="replace")
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
