"""Certificates and keys that are not what they should be: one line that names the file and what to do."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chatapp.errors import UsageError
from chatapp.gateway.certificates import late_certificates, load_certificate
from tests.gateway.scripted import ScriptedBackend, echo, serving

NOW = datetime.now(tz=UTC)


class Files:
    """A certificate and its key, and ways to spoil them."""

    def __init__(self, folder, **options):
        self.cert, self.key = folder / "cert.pem", folder / "key.pem"
        issued = trustme.CA().issue_cert("localhost", **options)
        self.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        self.key.write_bytes(issued.private_key_pem.bytes())


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def certify(name, key, issuer, signer, *, days, ca=False, usage=None):
    """Return a certificate that is valid from and until so many days from now."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + timedelta(days=days[0]))
        .not_valid_after(NOW + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return builder.sign(signer, hashes.SHA256())


def write(files, key, *chain):
    files.cert.write_bytes(b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain))
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def refused(files):
    with pytest.raises(UsageError) as caught:
        load_certificate(files.cert, files.key)
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.message
    return caught.value


async def test_a_good_pair_is_served_from_tls_1_2_on(files):
    context = load_certificate(files.cert, files.key)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    async with serving(ScriptedBackend(echo), tls=context) as (gateway, _url):
        client = ssl.create_default_context(cafile=str(files.cert))
        client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        _reader, writer = await asyncio.open_connection(
            "127.0.0.1", gateway.port, ssl=client, server_hostname="localhost"
        )
        assert writer.get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")
        writer.close()
        await writer.wait_closed()


def test_a_certificate_that_has_expired_is_refused_with_what_to_do(tmp_path):
    files = Files(tmp_path, not_before=NOW - timedelta(days=90), not_after=NOW - timedelta(days=1))
    error = refused(files)
    assert str(files.cert) in error.message
    assert "certificate has expired" in error.message
    assert "renew" in error.hint


def test_a_certificate_that_is_not_valid_yet_may_mean_a_wrong_clock(tmp_path):
    files = Files(tmp_path, not_before=NOW + timedelta(days=1), not_after=NOW + timedelta(days=90))
    error = refused(files)
    assert "not yet valid" in error.message
    assert "clock" in error.hint


@pytest.mark.parametrize("head", ["subject=O = Föö GmbH\n", "\ufeff"])
def test_letters_of_any_kind_may_stand_around_a_certificate(files, head):
    files.cert.write_bytes(head.encode() + files.cert.read_bytes())
    assert load_certificate(files.cert, files.key).get_ciphers()


@pytest.mark.parametrize(("days", "words"), [((-9, -1), "expired on"), ((1, 9), "is not valid before"), ((-9, 9), "")])
def test_the_dates_of_the_others_in_the_file_are_said_and_not_refused(files, days, words):
    """Clients may have a way of their own around an old cross-signed authority."""
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    write(
        files,
        key,
        certify("leaf", key, "authority", authority, days=(-2, 9)),
        certify("authority", authority, "authority", authority, days=days, ca=True),
    )
    load_certificate(files.cert, files.key)

    said = late_certificates(files.cert)
    assert len(said) == bool(words)
    assert all(f"certificate 2 in {files.cert} (authority) {words}" in line for line in said)


def test_the_first_certificate_counts_whatever_the_others_are(files):
    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    write(
        files,
        key,
        certify("leaf", key, "authority", authority, days=(-9, -1)),
        certify("authority", authority, "authority", authority, days=(-9, 9), ca=True),
    )
    assert "certificate has expired" in refused(files).message


def test_dates_are_looked_at_also_where_no_file_can_be_made(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    good = Files(tmp_path)
    assert load_certificate(good.cert, good.key).get_ciphers()
    refused(Files(tmp_path, not_before=NOW - timedelta(days=90), not_after=NOW - timedelta(days=1)))


def test_a_certificate_for_clients_only_is_not_called_a_matter_of_dates(files):
    key = ec.generate_private_key(ec.SECP256R1())
    write(files, key, certify("leaf", key, "leaf", key, days=(-2, 9), usage=ExtendedKeyUsageOID.CLIENT_AUTH))
    error = refused(files)
    assert "purpose" in error.message
    assert "clock" not in error.hint
    assert "serverAuth" in error.hint


def test_a_key_of_another_certificate(files, tmp_path):
    (tmp_path / "other").mkdir()
    files.key = Files(tmp_path / "other").key
    error = refused(files)
    assert str(files.key) in error.message
    assert "does not belong to certificate" in error.message


@pytest.mark.parametrize("which", ["cert", "key"])
def test_a_missing_file_is_named(files, which):
    path = getattr(files, which)
    path.unlink()
    error = refused(files)
    assert error.message.endswith(f"{path} cannot be read: No such file or directory")
    assert f"--tls-{which}" in error.hint


def test_an_encrypted_key_asks_nobody_for_its_passphrase(files):
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    error = refused(files)
    assert f"key {files.key} is encrypted" in error.message
    assert "openssl pkey" in error.hint


@pytest.mark.parametrize(("which", "converter"), [("cert", "openssl x509"), ("key", "openssl pkey")])
def test_what_is_not_pem_is_named(files, which, converter):
    path = getattr(files, which)
    path.write_bytes(b"\x30\x82\xff\x00garbage")
    error = refused(files)
    assert f"{path} is not in PEM form" in error.message
    assert converter in error.hint


@pytest.mark.parametrize(("which", "name"), [("cert", "certificate"), ("key", "key")])
def test_damaged_pem_names_the_file_at_fault(files, which, name):
    path = getattr(files, which)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][::-1], *lines[3:]]) + "\n")
    assert f"{name} {path} is damaged" in refused(files).message


def test_two_files_that_were_swapped(files):
    files.cert, files.key = files.key, files.cert
    error = refused(files)
    assert "holds no certificate" in error.message
    assert "the right way round" in error.hint
