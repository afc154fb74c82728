"""Makes thumbnails of all images in a folder and those below it.

    python thumbnails.py ~/Pictures thumbnails

Pillow lets other threads run while it decodes and scales, so that as many consumers as there are cores keep them busy.
Files that are no images, or are broken, do not stop the others.
"""

import os
import sys
from pathlib import Path

from PIL import Image, ImageOps

import headrace
from headrace.listeners import ProgressListener

SIZE = (256, 256)
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}


def images_in(folder):
    """The files that look like images, by their names."""
    return (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def make_thumbnails(folder, target):
    """Make a JPEG in *target* for each image in *folder*; return the pool's summary, and the dead letters."""

    def make(path):
        thumbnail = target / path.relative_to(folder).with_name(path.name + ".jpg")
        thumbnail.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(path) as image:
            image.draft("RGB", SIZE)  # of a JPEG, read no more than is needed
            upright = ImageOps.exif_transpose(image).convert("RGB")
            upright.thumbnail(SIZE)
            upright.save(thumbnail, quality=85)

    # The bound keeps the list of a folder with a million files out of memory.
    queue = headrace.Queue(maxsize=1000)
    pool = headrace.ConsumerPool(
        queue, make, os.cpu_count(), on_error="dead", listeners=[ProgressListener()], name="thumbnails"
    )
    with pool:
        queue.put_many(images_in(folder))
    return pool.summary(), list(queue.dead)


if __name__ == "__main__":
    summary, broken = make_thumbnails(Path(sys.argv[1]), Path(sys.argv[2]))
    for letter in broken:
        print(f"{letter.item}: {letter.error}")
    print(summary)
    sys.exit(1 if broken else 0)
