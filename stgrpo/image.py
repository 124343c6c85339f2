"""What a verb that runs in the image cannot find out there, told to it by whoever starts it, in its environment."""

import os
from pathlib import Path

from stgrpo.files import read_json, sha256, write_json
from stgrpo.provenance import COMMIT, DIRTY, IMAGE, IMAGE_FILE, commit, image_file

_MARK = Path("containers", ".image.json")
_BIND = "APPTAINER_BIND"


def environment(container: Path, scale: str) -> dict[str, str]:
    """Variables for a process in the image: the commit, the image's hash, and folders to bind.

    Apptainer shows the working directory; what results/ and resources/ link to outside of it has to be bound.
    """
    found = commit()
    bound = [part for part in os.environ.get(_BIND, "").split(",") if part]
    links = [folder for name in ("results", "resources") for folder in (Path(name), Path(name, scale))]
    real = [str(folder.resolve()) for folder in links if folder.is_dir()]
    outside = [path for path in real if not Path(path).is_relative_to(Path.cwd().resolve())]
    return {
        COMMIT: found["commit"] or "",
        DIRTY: {True: "1", False: "0", None: ""}[found["dirty"]],
        IMAGE: image_hash(container),
        IMAGE_FILE: image_file(container),
        _BIND: ",".join(dict.fromkeys([*bound, *outside])),
    }


def image_hash(container: Path) -> str:
    """SHA-256 of an image, in hexadecimal; gigabytes are read once.

    It is kept in the clone, since the image may stand where nobody may write, and belongs to one size and time of it.
    """
    stat = container.stat()
    seen = {"path": str(container.resolve()), "bytes": stat.st_size, "modified_ns": stat.st_mtime_ns}
    known = read_json(_MARK, "sha256") if _MARK.exists() else {}
    if {name: known.get(name) for name in seen} == seen:
        return known["sha256"]
    digest = sha256(container)
    write_json(_MARK, {**seen, "sha256": digest})
    return digest
