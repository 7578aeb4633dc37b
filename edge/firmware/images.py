"""The images that the gateway holds for its devices, and the chunks of them that devices ask for.

Promises: an image is kept only with a manifest that names its very bytes, and, where the configuration has a public
key, that bears its signature; what devices install they check themselves, with their own key. Bounded: `IMAGES_MAX`
images, `TOTAL_BYTES_MAX` in all; the chunks of one turn (`TURN_BYTES_MAX`), what is over is asked for again.
Synchronous; lives in the store's thread.
"""

from collections.abc import Sequence
from typing import NamedTuple

from edge.feedback import Downlink
from edge.store import Store
from sensors.firmware import (
    Chunk,
    FirmwareAsk,
    FirmwareError,
    Manifest,
    check_manifest,
    decode_manifest,
    encode_chunk,
    encode_manifest,
    is_image,
    verify,
)
from sensors.topics import DEFAULT_ROOT, Kind, build_topic

IMAGES_MAX = 32
TOTAL_BYTES_MAX = 8 * 1024 * 1024  # half of the smallest store that may be configured
TURN_BYTES_MAX = 512 * 1024  # of the chunks of one turn of intake: what is read and sent before the next commit
CHUNK_EXPIRY_S = 3600  # a chunk that waits longer at the broker has been asked for again
_MANIFESTS_KEPT = IMAGES_MAX


class Ask(NamedTuple):
    """Which device asks for what."""

    site: str
    device: str
    ask: FirmwareAsk


class ImageRecord(NamedTuple):
    """One image, without its bytes. `added_at_ms` is wall time."""

    manifest: Manifest
    added_at_ms: int


class Images:
    """The images of one store."""

    def __init__(self, store: Store, public_key: str | None = None, *, root: str = DEFAULT_ROOT) -> None:
        """`public_key`: in hex, whose signature a manifest must bear; None: devices alone check it."""
        self._store = store
        self._public_key = public_key
        self._root = root
        self._manifests: dict[str, Manifest | None] = {}

    def add(self, manifest: Manifest, image: bytes, wall_ms: int) -> ImageRecord:
        """Keep an image. Adding it again replaces its manifest. Raises `FirmwareError` and `StoreError`."""
        check_manifest(manifest)
        if not is_image(manifest, image):
            raise FirmwareError(
                f"image: {len(image)} bytes that are not those of the manifest (expected {manifest.size} bytes with"
                f" SHA-256 {manifest.sha256})"
            )
        if self._public_key is not None and not verify(manifest, self._public_key):
            raise FirmwareError("signature: not by the owner of the gateway's firmware.public_key")
        if not manifest.signature:
            raise FirmwareError("signature: the manifest is not signed (`tidegate firmware sign`)")
        others = [each for each in self.all() if each.manifest.sha256 != manifest.sha256]
        if any(each.manifest.version == manifest.version for each in others):
            raise FirmwareError(f"version {manifest.version}: another image has it; remove that one first")
        if len(others) >= IMAGES_MAX:
            raise FirmwareError(f"expected at most {IMAGES_MAX} images: remove one first")
        total = sum(each.manifest.size for each in others) + manifest.size
        if total > TOTAL_BYTES_MAX:
            raise FirmwareError(f"{total} bytes of images: expected at most {TOTAL_BYTES_MAX}; remove one first")
        row = (manifest.sha256, manifest.version, wall_ms, encode_manifest(manifest), image)
        with self._store.transaction():
            self._store.write("INSERT OR REPLACE INTO firmware_images VALUES (?, ?, ?, ?, ?)", [row])
        self._manifests.clear()
        return ImageRecord(manifest, wall_ms)

    def remove(self, sha256: str) -> bool:
        """Forget an image; whether there was one. Raises `StoreError`."""
        found = self.find(sha256) is not None
        with self._store.transaction():
            self._store.write("DELETE FROM firmware_images WHERE sha256 = ?", [(sha256,)])
        self._manifests.clear()
        return found

    def all(self) -> list[ImageRecord]:
        """Every image, oldest first. Raises `StoreError`."""
        rows = self._store.query("SELECT manifest, added_at_ms FROM firmware_images ORDER BY added_at_ms, sha256")
        return [ImageRecord(decode_manifest(manifest), added_at_ms) for manifest, added_at_ms in rows]

    def find(self, name: str) -> Manifest | None:
        """The manifest of the image with this SHA-256, this beginning of it (16 digits), or this version; or None."""
        rows = self._store.query(
            "SELECT manifest FROM firmware_images WHERE sha256 = ? OR substr(sha256, 1, 16) = ? OR version = ?",
            (name, name, name),
        )
        return decode_manifest(rows[0][0]) if rows else None

    def answer(self, asks: Sequence[Ask]) -> list[Downlink]:
        """The chunks that devices asked for; of an image that is not here, none. Raises `StoreError`."""
        downlinks: list[Downlink] = []
        left_bytes = TURN_BYTES_MAX
        for site, device, ask in asks:
            manifest = self._manifest(ask.image)
            if manifest is None:
                continue
            topic = build_topic(site, device, Kind.FW_CHUNK, self._root)
            for number in range(ask.first, min(ask.first + ask.count, manifest.chunks)):
                left_bytes -= manifest.chunk_bytes
                if left_bytes < 0:
                    return downlinks
                chunk = Chunk(ask.image, number, self._chunk(manifest, number))
                downlinks.append(Downlink(topic, encode_chunk(chunk), expiry_s=CHUNK_EXPIRY_S))
        return downlinks

    def _manifest(self, image: str) -> Manifest | None:
        if image not in self._manifests:
            if len(self._manifests) >= _MANIFESTS_KEPT:  # asks for what is not here are remembered, too
                self._manifests.clear()
            self._manifests[image] = self.find(image)
        return self._manifests[image]

    def _chunk(self, manifest: Manifest, number: int) -> bytes:
        rows = self._store.query(
            "SELECT substr(image, ?, ?) FROM firmware_images WHERE sha256 = ?",
            (1 + number * manifest.chunk_bytes, manifest.chunk_bytes, manifest.sha256),
        )
        return bytes(rows[0][0])
