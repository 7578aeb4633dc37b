"""A certificate authority for tests: certificates for 127.0.0.1 of any span of days, and what it has revoked."""

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = dt.timedelta(days=1)
_ADDRESS = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])


class Authority:
    """Keeps its own certificate and the list of what it revoked (`ca_file`, `crl_file`) in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.ca_file, self.crl_file = folder / "ca.pem", folder / "crl.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("test authority")
        self._revoked: list[x509.RevokedCertificate] = []
        own = self._builder(self._name, self._key, -1, 30)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        _write(self.ca_file, own.sign(self._key, hashes.SHA256()))
        self._publish()

    def issue(
        self, name: str, *, from_days: float = -1, to_days: float = 30, revoked: bool = False
    ) -> tuple[Path, Path]:
        """A certificate that is good from and to so many days from now; the files of it and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._builder(_named(name), key, from_days, to_days).sign(self._key, hashes.SHA256())
        cert_file, key_file = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        _write(cert_file, certificate)
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        if revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(certificate.serial_number)
            self._revoked.append(entry.revocation_date(_now() - _DAY / 2).build())
            self._publish()
        return cert_file, key_file

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, from_days: float, to_days: float
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(issuer_name=self._name, subject_name=subject, public_key=key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_now() + from_days * _DAY)
            .not_valid_after(_now() + to_days * _DAY)
            .add_extension(_ADDRESS, critical=False)
        )

    def _publish(self) -> None:
        now = _now()
        crl = x509.CertificateRevocationListBuilder(
            self._name, now - _DAY, now + 30 * _DAY, revoked_certificates=self._revoked
        )
        _write(self.crl_file, crl.sign(self._key, hashes.SHA256()))


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _write(path: Path, what: x509.Certificate | x509.CertificateRevocationList) -> None:
    path.write_bytes(what.public_bytes(serialization.Encoding.PEM))
