"""Firmware updates on the wire: the signed manifest, what a device asks for, and the chunks that it gets.

The manifest travels as the arguments of the command `start-update`. The device then pulls: it publishes `fw/ask`, and
the gateway answers with chunks on `fw/chunk`, so that a device that sleeps or was reset goes on where it was.

    fw/ask    {"image":"9f31c2aa01b2c3d4","first":16,"count":8}         image: the first 16 hex digits of the SHA-256
    fw/chunk  image 8 bytes | chunk number 4 bytes, big endian | the bytes of the chunk

The signature is Ed25519 (RFC 8032) over `signed_bytes`: a fixed first line, then the manifest's other members as JSON
with sorted keys and no spaces. It covers the digest, and so the image.

Promises: what encodes decodes to the same; whatever the bytes are, decoding returns or raises `MessageError`; `verify`
is the only way to learn that a manifest is good, and says no in every doubt.
"""

import hashlib
import json
import re
import struct
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sensors.commands import Argument
from sensors.messages import MessageError

IMAGE_BYTES_MAX = 4 * 1024 * 1024  # a quarter of the largest flash of a small node: two slots and data beside them
CHUNK_BYTES_MIN = 64  # below, the header costs more than the chunk
CHUNK_BYTES_MAX = 16_384
DEFAULT_CHUNK_BYTES = 1024  # fits the RAM of any node that speaks MQTT
CHUNKS_PER_ASK_MAX = 32
DEVICE_TYPES_MAX = 16
_TYPE_CHARS_MAX = 64
_SIGNED = b"tidegate firmware manifest 1\n"
_VERSION = re.compile(r"(0|[1-9]\d{0,5})(\.(0|[1-9]\d{0,5})){1,3}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_IMAGE = re.compile(r"[0-9a-f]{16}", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{128}", re.ASCII)
_KEY = re.compile(r"[0-9a-f]{64}", re.ASCII)
_CHUNK_HEAD = struct.Struct(">8sI")


class FirmwareError(ValueError):
    """A manifest, image or key that is not what it must be; the message names the member and what was expected."""


class Manifest(msgspec.Struct, frozen=True):
    """What is to be installed, and who says so. `signature` is empty before signing."""

    version: str
    size: int
    sha256: str
    chunk_bytes: int
    device_types: tuple[str, ...]
    signature: str = ""

    @property
    def image(self) -> str:
        """The image's short name on the wire."""
        return self.sha256[:16]

    @property
    def chunks(self) -> int:
        """How many chunks the image has."""
        return -(-self.size // self.chunk_bytes)

    def chunk_size(self, number: int) -> int:
        """The length of one chunk in bytes; the last may be shorter."""
        return min(self.chunk_bytes, self.size - number * self.chunk_bytes)


class FirmwareAsk(msgspec.Struct, frozen=True):
    """A device asks for `count` chunks from `first` on."""

    image: str
    first: int
    count: int


class Chunk(NamedTuple):
    """One chunk of an image."""

    image: str
    number: int
    data: bytes


_ask_decoder = msgspec.json.Decoder(FirmwareAsk)
_manifest_decoder = msgspec.json.Decoder(Manifest)
_encoder = msgspec.json.Encoder()


def describe_image(
    image: bytes, version: str, device_types: tuple[str, ...], chunk_bytes: int = DEFAULT_CHUNK_BYTES
) -> Manifest:
    """The manifest of an image, not signed yet. Raises `FirmwareError`."""
    manifest = Manifest(version, len(image), hashlib.sha256(image).hexdigest(), chunk_bytes, device_types)
    check_manifest(manifest)
    return manifest


def check_manifest(manifest: Manifest) -> None:
    """Whether every member is in its range; says nothing of the signature. Raises `FirmwareError`."""
    version_key(manifest.version)
    if not 1 <= manifest.size <= IMAGE_BYTES_MAX:
        raise FirmwareError(f"size is {manifest.size}: expected 1 to {IMAGE_BYTES_MAX} bytes")
    if not _SHA256.fullmatch(manifest.sha256):
        raise FirmwareError("sha256: expected 64 lower-case hex digits")
    if not CHUNK_BYTES_MIN <= manifest.chunk_bytes <= CHUNK_BYTES_MAX:
        raise FirmwareError(f"chunk_bytes is {manifest.chunk_bytes}: expected {CHUNK_BYTES_MIN} to {CHUNK_BYTES_MAX}")
    types = manifest.device_types
    if not 1 <= len(types) <= DEVICE_TYPES_MAX or not all(1 <= len(each) <= _TYPE_CHARS_MAX for each in types):
        raise FirmwareError(
            f"device_types: expected 1 to {DEVICE_TYPES_MAX} names of 1 to {_TYPE_CHARS_MAX} characters"
        )
    if manifest.signature and not _SIGNATURE.fullmatch(manifest.signature):
        raise FirmwareError("signature: expected 128 lower-case hex digits")


def version_key(version: str) -> tuple[int, ...]:
    """By what versions are compared: two to four numbers with dots, missing ones are 0. Raises `FirmwareError`."""
    if not _VERSION.fullmatch(version):
        raise FirmwareError(f"version {version[:24]!r}: expected two to four numbers with dots, such as 1.4.0")
    numbers = [int(number) for number in version.split(".")]
    return tuple(numbers + [0] * (4 - len(numbers)))


# -- signatures


def signed_bytes(manifest: Manifest) -> bytes:
    """What is signed."""
    members = msgspec.to_builtins(manifest)
    del members["signature"]
    return _SIGNED + json.dumps(members, sort_keys=True, separators=(",", ":")).encode()


def sign(manifest: Manifest, private_key: bytes) -> Manifest:
    """The manifest with its signature by a private key of 32 bytes."""
    signature = Ed25519PrivateKey.from_private_bytes(private_key).sign(signed_bytes(manifest))
    return msgspec.structs.replace(manifest, signature=signature.hex())


def public_key_of(private_key: bytes) -> str:
    """The public key, in hex, that goes with a private key of 32 bytes."""
    return Ed25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw().hex()


def check_public_key(text: str) -> str:
    """Return `text` if it is a public key. Raises `FirmwareError`."""
    if not _KEY.fullmatch(text):
        raise FirmwareError("public_key: expected 64 lower-case hex digits, as `tidegate firmware keygen` prints them")
    return text


def verify(manifest: Manifest, public_key: str) -> bool:
    """Whether the manifest bears a signature by the owner of this key (in hex)."""
    if not _SIGNATURE.fullmatch(manifest.signature) or not _KEY.fullmatch(public_key):
        return False
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(manifest.signature), signed_bytes(manifest))
    except (InvalidSignature, ValueError):
        return False
    return True


def is_image(manifest: Manifest, image: bytes) -> bool:
    """Whether these are the bytes that the manifest names."""
    return len(image) == manifest.size and hashlib.sha256(image).hexdigest() == manifest.sha256


# -- messages


def manifest_arguments(manifest: Manifest) -> dict[str, Argument]:
    """The manifest as arguments of `start-update`."""
    return {
        "version": manifest.version,
        "size": manifest.size,
        "sha256": manifest.sha256,
        "chunk_bytes": manifest.chunk_bytes,
        "device_types": list(manifest.device_types),
        "signature": manifest.signature,
    }


def manifest_from_arguments(args: Mapping[str, Argument]) -> Manifest:
    """The manifest that a `start-update` carries. Raises `FirmwareError`."""
    try:
        manifest = msgspec.convert(dict(args), Manifest)
    except msgspec.ValidationError as error:
        raise FirmwareError(str(error)) from None
    check_manifest(manifest)
    return manifest


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as a file."""
    return msgspec.json.format(_encoder.encode(manifest), indent=2) + b"\n"


def decode_manifest(data: bytes) -> Manifest:
    """The manifest in a file. Raises `FirmwareError`."""
    try:
        manifest = _manifest_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise FirmwareError(f"manifest: {error}") from None
    check_manifest(manifest)
    return manifest


def encode_ask(ask: FirmwareAsk) -> bytes:
    """The payload of `fw/ask`."""
    return _encoder.encode(ask)


def decode_ask(payload: bytes) -> FirmwareAsk:
    """Raises `MessageError`."""
    try:
        ask = _ask_decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MessageError(f"fw/ask: {error}") from None
    if not _IMAGE.fullmatch(ask.image):
        raise MessageError("fw/ask.image: expected 16 lower-case hex digits")
    if not (0 <= ask.first <= IMAGE_BYTES_MAX and 1 <= ask.count <= CHUNKS_PER_ASK_MAX):
        raise MessageError(f"fw/ask: {ask.count} chunks from {ask.first}: expected 1 to {CHUNKS_PER_ASK_MAX} from 0 on")
    return ask


def encode_chunk(chunk: Chunk) -> bytes:
    """The payload of `fw/chunk`."""
    return _CHUNK_HEAD.pack(bytes.fromhex(chunk.image), chunk.number) + chunk.data


def decode_chunk(payload: bytes) -> Chunk:
    """Raises `MessageError`."""
    if not _CHUNK_HEAD.size < len(payload) <= _CHUNK_HEAD.size + CHUNK_BYTES_MAX:
        raise MessageError(f"fw/chunk has {len(payload)} bytes: expected a header of {_CHUNK_HEAD.size} and a chunk")
    image, number = _CHUNK_HEAD.unpack_from(payload)
    return Chunk(image.hex(), number, payload[_CHUNK_HEAD.size :])
