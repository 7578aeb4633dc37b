"""`tidegate firmware keygen|sign`: the keys and manifests of firmware images. Needs no gateway, and no network.

The private key is 32 bytes in hex in a file that only its owner reads; it belongs on the machine that builds images,
never on a gateway. Devices and gateways are given the public key.
"""

import os
import secrets
from pathlib import Path
from typing import Annotated

import typer

from sensors.firmware import DEFAULT_CHUNK_BYTES, FirmwareError, describe_image, encode_manifest, public_key_of, sign
from tidegate.errors import ConfigError, Problem, TakenError

KEY_BYTES = 32
_OWNER_ONLY = 0o600

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command()
def keygen(key_file: Annotated[Path, typer.Argument(metavar="KEY", help="Where the private key goes.")]) -> None:
    """Make a key pair: the private key goes to a new file, the public key is printed."""
    private_key = secrets.token_bytes(KEY_BYTES)
    try:
        descriptor = os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    except FileExistsError:
        raise TakenError(f"{key_file} exists: a key is never overwritten") from None
    except OSError as error:
        raise TakenError(f"{key_file}: cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "w") as file:
        file.write(private_key.hex() + "\n")
    typer.echo(public_key_of(private_key))


@app.command("sign")
def sign_image(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The image.")],
    version: Annotated[str, typer.Option("--image-version", help="Such as 1.4.0.")],
    device_type: Annotated[list[str], typer.Option("--device-type", help="For which devices; may be repeated.")],
    key_file: Annotated[Path, typer.Option("--key", metavar="KEY", help="The private key of `keygen`.")],
    chunk_bytes: Annotated[int, typer.Option("--chunk-bytes", help="How it is cut for the air.")] = DEFAULT_CHUNK_BYTES,
) -> None:
    """Sign an image: its manifest goes to IMAGE.manifest.json beside it."""
    manifest_file = image.with_name(image.name + ".manifest.json")
    try:
        manifest = sign(
            describe_image(image.read_bytes(), version, tuple(device_type), chunk_bytes), _private_key(key_file)
        )
        manifest_file.write_bytes(encode_manifest(manifest))
    except FirmwareError as error:
        raise _problem(image, str(error)) from None
    except OSError as error:
        raise _problem(Path(str(error.filename)), f"cannot be read or written: {error.strerror}") from None
    typer.echo(f"{manifest_file}: {manifest.version}, {manifest.size} bytes, SHA-256 {manifest.sha256}")


def _private_key(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise _problem(path, f"expected a private key of {2 * KEY_BYTES} hex digits")
    return key


def _problem(path: Path, what: str) -> ConfigError:
    return ConfigError((Problem("", str(path), what),))
