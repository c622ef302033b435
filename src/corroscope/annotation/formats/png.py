"""PNG masks, as training takes them: 0 or 255, particles that touch run together."""

from collections.abc import Sequence
from pathlib import Path

from corroscope.annotation.formats.reading import Sizes, understanding
from corroscope.annotation.instances import IGNORE, PARTICLE, AnnotatedImage, paint, separate
from corroscope.annotation.pairing import ignore_of, mask_of
from corroscope.errors import AnnotationError
from corroscope.frames.reading import read_frame
from corroscope.outputs import write_mask


def write(images: Sequence[AnnotatedImage], folder: Path) -> None:
    """Write ``x_mask.png`` and, where something is ignored, ``x_ignore.png``."""
    for image in images:
        particles = paint(image.instances, image.shape)
        ignored = paint(image.instances, image.shape, IGNORE) & ~particles
        write_mask(mask_of(folder / image.name), particles)
        if ignored.any():
            write_mask(ignore_of(folder / image.name), ignored)


def read(path: Path, sizes: Sizes) -> list[AnnotatedImage]:
    """Read the masks that there are; each connected piece is an object."""
    folder = path if path.is_dir() else path.parent
    found = []
    for name, size in sizes.items():
        if not mask_of(folder / name).exists():
            continue
        instances = []
        for file, label in (
            (mask_of(folder / name), PARTICLE),
            (ignore_of(folder / name), IGNORE),
        ):
            if file.exists():
                with understanding(file):
                    mask = read_frame(file) > 0
                if mask.shape != size:
                    raise AnnotationError(
                        f"{file}: has {mask.shape[0]} by {mask.shape[1]} pixels, its image "
                        f"{size[0]} by {size[1]}; is it for another image?"
                    )
                instances += separate(mask, label)
        found.append(AnnotatedImage(name, size, tuple(instances)))
    if not found:
        raise AnnotationError(f"{folder}: holds no mask of any of the images; name it x_mask.png")
    return found
