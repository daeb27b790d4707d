"""The folder of a download that is not complete yet."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from rs_forecast.errors import SourceError
from rs_forecast.sources._archive_record import OK, Record
from rs_forecast.workspace import sha256_file


def tidy(stage: Path, names: set[str]) -> None:
    """Remove from an unfinished download all but finished band files."""
    for item in stage.iterdir():
        if item.is_dir() and not item.is_symlink():
            shutil.rmtree(item)
        elif item.name not in names:
            item.unlink()


def salvage(old: Record | None, stage: Path) -> None:
    """Take over what is sound of a damaged scene."""
    if old is None or old.state != OK:
        return
    for band in old.bands.values():
        source = old.folder / band.href
        with contextlib.suppress(OSError):
            if not (stage / band.href).exists() and sha256_file(source) == band.sha256:
                (stage / band.href).hardlink_to(source)


def copy_files(record: Record, folder: Path) -> None:
    """Copy the band files of another store's scene, each held against its hash; SourceError names a damaged one."""
    for band in record.bands.values():
        source, target = record.folder / band.href, folder / band.href
        if target.exists() and sha256_file(target) == band.sha256:
            continue
        if source.is_symlink():
            raise SourceError(f"{source}: is a link; copy the store with its files")
        temporary = target.with_suffix(".copy")
        shutil.copyfile(source, temporary)
        if sha256_file(temporary) != band.sha256:
            temporary.unlink()
            raise SourceError(f"{source}: is damaged; fetch it again there, or here")
        temporary.replace(target)
