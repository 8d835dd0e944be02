"""Files: their names, how they are written, and what may be opened though it comes from anybody."""

from glavitu.files.locks import claim, lock, opened, unlock
from glavitu.files.names import Name, as_name, is_local, is_plain_name, stem_of
from glavitu.files.sums import SAMPLED_BYTES, checksum, sampled_checksum
from glavitu.files.writing import (
    FULL,
    all_when_complete,
    disk_named,
    partial_folder,
    put_in_place,
    sweep,
    sync,
    sync_names,
    when_complete,
)

__all__ = [
    "FULL",
    "SAMPLED_BYTES",
    "Name",
    "all_when_complete",
    "as_name",
    "checksum",
    "claim",
    "disk_named",
    "is_local",
    "is_plain_name",
    "lock",
    "opened",
    "partial_folder",
    "put_in_place",
    "sampled_checksum",
    "stem_of",
    "sweep",
    "sync",
    "sync_names",
    "unlock",
    "when_complete",
]
