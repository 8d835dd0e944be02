"""Which files, and which of their bands, give the channels of each feature group."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path, PurePath

from glavitu.errors import InputError
from glavitu.features import DEM, FeatureGroup
from glavitu.files import as_name, is_local
from glavitu.rasters.band_names import contradictions, order_of
from glavitu.rasters.grid import grid_differences, transformer
from glavitu.rasters.open_files import OpenFiles
from glavitu.rasters.raster_file import SCALED_TAG, RasterFile
from glavitu.rasters.units import SLOPE, Units

#: What may be given for a feature group: a raster, several that make a mosaic or are one channel
#: each, or a folder of rasters that make a mosaic. Names are what GDAL takes, such as
#: ``'https://...'``, ``'/vsizip/a.zip/b.tif'`` or ``'HDF5:"f.h5"://a'``.
Files = str | PathLike[str] | Sequence[str | PathLike[str]]

#: Suffixes of what is taken from a folder.
SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt", ".img")

#: Files of each part of a group's channels, those that count most first.
Parts = list[list[RasterFile]]


def list_files(files: Files) -> list[str]:
    """List rasters; those of a folder are sorted by name, hidden files and sidecars left out.

    Args:
        files: A raster, several, or a folder.

    Raises:
        InputError: If a folder holds no raster, or none is given.
    """
    if isinstance(files, str | PathLike):
        path = Path(files)
        if not is_local(files) or not path.is_dir():
            return [as_name(files)]
        found = sorted(
            file
            for file in path.iterdir()
            if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
        )
        if not found:
            raise InputError(
                f"{path} cannot be read: the folder holds no raster ({', '.join(SUFFIXES)}); name "
                "a file, or the folder that holds them"
            )
        return list(map(str, found))
    several = [file for item in files for file in list_files(item)]
    if not several:
        raise InputError("an empty list of rasters was given; name at least one file")
    return several


def takes_slope(group: FeatureGroup) -> bool:
    """Tell whether a group's second channel is slope, which can be computed from the first."""
    return group.name == DEM.name and group.channels == DEM.channels


def check_names(files: Mapping[str, Files], groups: Sequence[FeatureGroup]) -> None:
    """Check that there are files for the groups, and for nothing else.

    Args:
        files: Files by the name of their group.
        groups: The model's feature groups.

    Raises:
        InputError: If a group has no file, or a file no group.
    """
    names = [group.name for group in groups]
    known = {*names, SLOPE} if any(map(takes_slope, groups)) else set(names)
    extra = [f"{name} ({_shown(given)})" for name, given in files.items() if name not in known]
    missing = [name for name in names if name not in files]
    if missing:
        unused = f" It does not use {', '.join(extra)}; is a name misspelt?" if extra else ""
        raise InputError(
            f"no file for {', '.join(missing)}: the model needs a raster for each of "
            f"{', '.join(names)}; give the missing ones.{unused}"
        )
    if extra:
        raise InputError(
            f"the model does not use {', '.join(extra)}; it was trained on {', '.join(names)}. "
            "Leave the others out, or choose a checkpoint that uses them"
        )


def open_parts(
    files: Mapping[str, Files],
    groups: Sequence[FeatureGroup],
    units: Mapping[str, Units],
    opened: OpenFiles,
) -> dict[str, Parts]:
    """Find the bands of each group in files of its own.

    Each file of a group has all of its channels, in order; several make a mosaic. Several files
    with one band each, as many as the group has channels, are its channels in the order given (not
    so for elevation, which is one channel in any number of files). A folder's files have no order
    and always make a mosaic.

    Args:
        files: Files by the name of their group, or ``'slope'``.
        groups: The model's feature groups.
        units: Units by the same names.
        opened: Where files are opened.

    Returns:
        By the name of the group, in the order of the files; one part has all channels, or there is
        one for each. The part for slope is not there where it has to be computed.

    Raises:
        InputError: If a file is missing or unreadable, or has another number of bands.
    """
    check_names(files, groups)
    found = {
        name: [RasterFile.open(file, opened) for file in list_files(given)]
        for name, given in files.items()
    }
    parts: dict[str, Parts] = {}
    by_name = {group.name: group for group in groups}
    for name, given in files.items():
        if name not in by_name:
            continue  # slope, which goes with elevation
        if takes_slope(by_name[name]):
            parts[name] = _dem_parts(by_name[name], found, units)
        else:
            own = units.get(name, Units())
            parts[name] = _parts(by_name[name], given, found[name], own)
    return parts


def slice_parts(
    name: str, groups: Sequence[FeatureGroup], units: Mapping[str, Units], opened: OpenFiles
) -> dict[str, Parts]:
    """Find the bands of each group in one file that has those of all groups, in order.

    Arguments, what is returned and errors are as for :func:`open_parts`.
    """
    wanted = sum(map(len, groups))
    file = RasterFile.open(name, opened)
    whole = file.holding(wanted)
    if whole is None:
        names = ", ".join(f"{group.name} {len(group)}" for group in groups)
        raise InputError(
            f"{name} has {len(file.bands)} band(s), but the groups need {wanted}, in this "
            f"order: {names}; write a file with these bands, or give one file per group"
        )
    parts: dict[str, Parts] = {}
    first = 0
    for group in groups:
        part = _in_order(whole.part(range(first, first + len(group))), group)
        stored = part.stored_as(group, range(len(group)), _units_of_bands(group, units))
        parts[group.name] = [[stored]]
        first += len(group)
    return parts


def check_grids(files: Sequence[RasterFile]) -> None:
    """Check that files are on one grid.

    Raises:
        InputError: If one is not on the first one's.
    """
    first, *others = files
    problems = []
    for other in others:
        differences = grid_differences(first.grid, other.grid)
        if differences:
            problems.append(f"{other.name} differs from {first.name} in {'; '.join(differences)}")
    if problems:
        raise InputError(
            f"the rasters are not on one grid: {'. '.join(problems)}. Bring them to one grid "
            f"first, for example: rio warp INPUT OUTPUT --like {first.name}"
        )


def check_place(file: RasterFile) -> None:
    """Check that the CRS of a file has a place on the Earth.

    Raises:
        InputError: If it has none.
    """
    try:
        transformer(file.grid.crs)
    except InputError as error:
        raise InputError(f"{file.name}: {error}") from error


def _parts(group: FeatureGroup, given: Files, files: list[RasterFile], units: Units) -> Parts:
    whole = [_bands_of(file, group) for file in files]
    if None not in whole:
        stored = [units] * len(group)
        return [
            [file.stored_as(group, range(len(group)), stored) for file in whole if file is not None]
        ]
    single = [file.holding(1) for file in files]
    stack = len(files) == len(group) and None not in single
    if stack and not isinstance(given, str | PathLike):
        channels = _stack_in_order(group, [file for file in single if file is not None])
        return [[file.stored_as(group, [number], [units])] for number, file in enumerate(channels)]
    odd = files[whole.index(None)]
    channels_in_words = ", ".join(group.channels)
    if stack:
        raise InputError(
            f"{given} holds {len(files)} rasters of one band each; if they are the channels of "
            f"{group.name!r}, name the files one by one in this order: {channels_in_words}"
        )
    raise InputError(
        f"{odd.name} has {len(odd.bands)} band(s), but {group.name!r} needs {len(group)}: "
        f"{channels_in_words}, in this order; write a file with these bands, or name its bands so"
        + (f", or name {len(group)} files with one band each" if len(group) > 1 else "")
    )


def _bands_of(file: RasterFile, group: FeatureGroup) -> RasterFile | None:
    """Return the file with the bands of a group, None if it has another number of them."""
    data = file.holding(len(group))
    if data is not None:
        return _in_order(data, group)
    order = None if file.scaled else order_of(group, file.names)
    if order is None or len(order) != len(group):
        return None
    names = ", ".join(str(file.names[number]) for number in order)
    file.files.said(
        ("bands", group.name),
        f"{file.name}: of its {len(file.bands)} bands, {names} are read as {group.name}, by their "
        "names",
    )
    return file.part(order)


def _in_order(file: RasterFile, group: FeatureGroup) -> RasterFile:
    """Put the bands of a file into the order of a group's channels, where their names tell."""
    if file.scaled or len(group) == 1:
        return file
    order = order_of(group, file.names)
    names = ", ".join(str(name) for name in file.names if name)
    if order is not None and order != list(range(len(group))):
        file.files.said(
            ("order", group.name),
            f"{file.name}: its bands are called {names}, and are read in the order of "
            f"{group.name} ({', '.join(group.channels)}); if the names are wrong, correct them, as "
            "rio edit-info does",
        )
        return file.part(order)
    odd = contradictions(group, file.names)
    if odd:
        number, name = odd[0]
        file.files.said(
            ("names", group.name),
            f"{file.name}: band {file.bands[number]} is called {name!r}, but is read as "
            f"{group.channels[number]}, for {group.name} is {', '.join(group.channels)}, in this "
            "order; write the bands in this order, or correct their names",
        )
    return file


def _stack_in_order(group: FeatureGroup, files: list[RasterFile]) -> list[RasterFile]:
    """Put files of one band each into the order of a group's channels, where names tell."""
    names = [file.names[0] or PurePath(file.name).stem for file in files]
    order = order_of(group, names)
    if order is None or order == list(range(len(files))):
        for number, name in contradictions(group, names)[:1]:
            file = files[number].name
            files[0].files.said(
                ("names", group.name),
                f"{file}: is called {name!r}, but is read as {group.channels[number]}, for the "
                f"files of {group.name} are {', '.join(group.channels)}, in this order; give them "
                "in this order, or correct their names",
            )
        return files
    files[0].files.said(
        ("order", group.name),
        f"{', '.join(names)} are read in the order of {group.name} ({', '.join(group.channels)}), "
        "as their names tell",
    )
    return [files[number] for number in order]


def _dem_parts(
    group: FeatureGroup, found: Mapping[str, list[RasterFile]], units: Mapping[str, Units]
) -> Parts:
    files, slopes = found[group.name], found.get(SLOPE)
    both = [_bands_of(file, group) for file in files]
    alone = [file.holding(1) for file in files]
    for file, two, one in zip(files, both, alone, strict=True):
        if two is None and one is None:
            raise InputError(
                f"{file.name} has {len(file.bands)} bands, but {group.name!r} needs 2 "
                f"({', '.join(group.channels)}) or 1 (elevation, slope is then computed); write a "
                "file with these bands"
            )
    if None in both and None in alone:
        raise InputError(
            f"{files[both.index(None)].name} has elevation alone, but "
            f"{files[alone.index(None)].name} slope too; give files of one kind"
        )
    if None not in both:
        if slopes is not None:
            raise InputError(
                f"slope comes twice: as band 2 of {files[0].name}, and from {slopes[0].name}; "
                "leave one out"
            )
        stored = _units_of_bands(group, units)
        return [[file.stored_as(group, (0, 1), stored) for file in both if file is not None]]
    for file in files:
        if file.scaled:
            raise InputError(
                f"{file.name} has scaled values (tag {SCALED_TAG}) of the elevation alone; give "
                "its slope as band 2, or elevation in metres without the tag"
            )
    stored = [units.get(group.name, Units())]
    parts = [[file.stored_as(group, [0], stored) for file in alone if file is not None]]
    if slopes is None:
        if SLOPE in units:
            raise InputError(
                "--slope-percent or a scale is given for slope, but it is computed from "
                f"{files[0].name}; leave it out, or give a file with slope"
            )
        return parts
    part = []
    for file in slopes:
        slope = file.holding(1)
        if slope is None:
            raise InputError(
                f"{file.name} has {len(file.bands)} bands, but slope needs 1, in degrees; write a "
                "file with this band alone"
            )
        part.append(slope.stored_as(group, [1], [units.get(SLOPE, Units())]))
    return [*parts, part]


def _units_of_bands(group: FeatureGroup, units: Mapping[str, Units]) -> list[Units]:
    own = units.get(group.name, Units())
    if takes_slope(group):
        return [own, units.get(SLOPE, Units())]
    return [own] * len(group)


def _shown(files: Files) -> str:
    return str(files) if isinstance(files, str | PathLike) else ", ".join(map(str, files))
