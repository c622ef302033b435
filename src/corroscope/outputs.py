"""Writing files so that a reader never meets half of one, and what stands beside them."""

import contextlib
import hashlib
import io
import json
import platform
import secrets
import struct
import tempfile
import zlib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from corroscope.errors import OutputError

MANIFEST: Final = "manifest.json"
"""What was done, with what and how; stands beside every output."""

SOFTWARE: Final = "corroscope"
"""What a picture written here says of its origin, in the PNG text "Software"."""

_HEADER_BYTES: Final = 33
"""Of a PNG file: its signature and the chunk of its size and kind, after which texts may stand."""


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary name to write to, which becomes ``path`` when all went well.

    Parameters
    ----------
    path
        The file to write. What stood there stays until the new one is complete.

    Yields
    ------
    Path
        The temporary name, in the same folder and with the same ending.

    Raises
    ------
    OutputError
        If the file cannot be written.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "note.txt")) as temporary:
    ...         _ = temporary.write_text("whole")
    ...     [entry.name for entry in Path(folder).iterdir()]
    ['note.txt']
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        temporary.touch(exist_ok=False)
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); choose another folder "
            "or make room"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def output_folder(path: str | Path) -> Path:
    """Make a folder for outputs and check that it can be written to.

    Parameters
    ----------
    path
        The folder; made with its parents where missing.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputError
        If it is no folder or cannot be written to.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     output_folder(Path(folder, "a", "b")).is_dir()
    True
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be used as output folder ({error.strerror}); choose another"
        ) from error
    return path


def write_json(path: str | Path, content: dict[str, Any]) -> None:
    """Write a JSON file, whole or not at all.

    Parameters
    ----------
    path
        The file.
    content
        What JSON can hold; a NaN is an error, not a word that other readers refuse.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def write_png(path: str | Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write a PNG file, whole or not at all.

    Parameters
    ----------
    path
        The file.
    pixels
        ``(height, width)`` grey, of 8 or 16 bits, or ``(height, width, 3)`` red, green, blue.
    """
    signature = PngInfo()
    signature.add_text("Software", SOFTWARE)
    content = io.BytesIO()
    # Fast compression: on a 6-megapixel overlay the default takes longer than the network.
    Image.fromarray(pixels).save(content, "PNG", pnginfo=signature, compress_level=1)
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())


def write_mask(path: str | Path, mask: NDArray[np.bool_]) -> None:
    """Write a mask as PNG, whole or not at all: 255 where it is set, 0 elsewhere.

    Parameters
    ----------
    path
        The file.
    mask
        ``(height, width)``.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_mask(f"{folder}/mask.png", np.array([[True, False]]))
    ...     np.asarray(Image.open(f"{folder}/mask.png")).tolist()
    [[255, 0]]
    """
    # Run lengths of unfiltered rows: with many particles faster than `write_png`. Somebody who
    # annotates waits for it.
    content = imagecodecs.png_encode(
        np.ascontiguousarray(mask).view(np.uint8) * np.uint8(255),
        level=imagecodecs.PNG.COMPRESSION.SPEED,
        strategy=imagecodecs.PNG.STRATEGY.RLE,
        filter=imagecodecs.PNG.FILTER.NONE,
    )
    signature = b"tEXtSoftware\0" + SOFTWARE.encode()
    chunk = struct.pack(">I", len(signature) - 4) + signature
    chunk += struct.pack(">I", zlib.crc32(signature))
    with replacing(path) as temporary:
        temporary.write_bytes(content[:_HEADER_BYTES] + chunk + content[_HEADER_BYTES:])


def write_tiff(
    path: str | Path, pixels: NDArray[np.integer | np.floating], *, compress: bool = False
) -> None:
    """Write a TIFF file, whole or not at all.

    Parameters
    ----------
    path
        The file.
    pixels
        ``(height, width)``.
    compress
        With Deflate, for masks; plain otherwise, as microscopes write frames.
    """
    content = io.BytesIO()
    tifffile.imwrite(
        content, pixels, compression="zlib" if compress else None, metadata=None, software=SOFTWARE
    )
    with replacing(path) as temporary:
        temporary.write_bytes(content.getvalue())


def made_by(folder: str | Path) -> str | None:
    """Which command wrote a folder, by its manifest.

    Parameters
    ----------
    folder
        The folder.

    Returns
    -------
    str or None
        None where there is no manifest that can be read.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_json(f"{folder}/manifest.json", {"command": "synth"})
    ...     made_by(folder), made_by(f"{folder}/elsewhere")
    ('synth', None)
    """
    try:
        return str(read_manifest(folder)["command"])
    except (OutputError, KeyError, TypeError):
        return None


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """Read the manifest that a command has just written.

    Parameters
    ----------
    folder
        Where it stands.

    Returns
    -------
    dict
        What it says.

    Raises
    ------
    OutputError
        If there is none, or it is broken.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_json(f"{folder}/manifest.json", {"command": "run"})
    ...     read_manifest(folder)
    {'command': 'run'}
    """
    path = Path(folder, MANIFEST)
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot be read ({error}); run the command again") from error
    return manifest


def written_here(path: str | Path) -> bool:
    """Tell whether `write_png` or `write_mask` wrote a file, and nothing else has since.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    bool
        False for what somebody drew, and for what is no PNG.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_png(f"{folder}/mask.png", np.zeros((4, 4), np.uint8))
    ...     written_here(f"{folder}/mask.png"), written_here(f"{folder}/other.png")
    (True, False)
    """
    try:
        with Image.open(path) as image:
            return image.info.get("Software") == SOFTWARE
    except (OSError, SyntaxError):  # Pillow's word for a broken PNG
        return False


def versions(*packages: str) -> dict[str, str]:
    """Versions of corroscope, Python and the packages that a result depends on.

    Parameters
    ----------
    *packages
        Names under which they are imported.

    Returns
    -------
    dict of str to str
        Version by name.

    Examples
    --------
    >>> sorted(versions("numpy"))
    ['corroscope', 'numpy', 'platform', 'python']
    """
    # What provides a package may be called otherwise: ONNX Runtime and OpenCV come under
    # several names, for several kinds of machine.
    providers = metadata.packages_distributions()
    return {
        "corroscope": metadata.version("corroscope"),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        **{
            package: metadata.version(providers[package][0])
            if providers.get(package)
            else "not installed"
            for package in packages
        },
    }


def code_hash(folder: str | Path | None = None) -> str:
    """SHA-256 over the Python files of a package, so that a result names the code it is of.

    Parameters
    ----------
    folder
        The package; by default corroscope itself, as it is installed.

    Returns
    -------
    str
        64 hexadecimal digits; the same for the same files, whoever installed them and where.

    Examples
    --------
    >>> len(code_hash()), code_hash() == code_hash(Path(__file__).parent)
    (64, True)
    """
    root = Path(__file__).parent if folder is None else Path(folder)
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py"), key=lambda path: path.relative_to(root).parts):
        # Line ends are those of the machine that checked the files out.
        text = path.read_bytes().replace(b"\r\n", b"\n")
        name = path.relative_to(root).as_posix()
        digest.update(f"{name} {hashlib.sha256(text).hexdigest()}\n".encode())
    return digest.hexdigest()
