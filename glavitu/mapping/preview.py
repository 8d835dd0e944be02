"""A quick look at a map: the scene with its outlines, and the confidence beside it."""

from math import ceil
from pathlib import Path

import geopandas
import numpy as np
import rasterio
import shapely
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import Normal, Stroke
from rasterio.enums import Resampling

from glavitu.pictures import as_text, composite, stretched
from glavitu.rasters.names import label
from glavitu.rasters.scene import Scene

OUTLINE_COLOUR = "#ffd21f"
NODATA_COLOUR = "#d8d8d8"


def write_preview(
    path: Path,
    scene: Scene,
    outlines: geopandas.GeoDataFrame,
    confidence: Path,
    *,
    size: int = 1000,
) -> None:
    """Write a picture of a map as PNG.

    Args:
        path: Where to.
        scene: The scene, open.
        outlines: Its outlines, see ``outlines_from_raster``.
        confidence: The confidence raster, on the scene's grid.
        size: Largest height or width at which rasters are read, in pixels.
    """
    group, channels = composite(scene.groups)
    step = max(1, ceil(max(scene.height, scene.width) / size))
    values = scene.read_reduced(group, channels, step)
    # Of the overviews; they tell where there is no data by NaN themselves.
    with rasterio.open(confidence) as file:
        certain = file.read(1, out_shape=values.shape[1:], resampling=Resampling.average)

    width_km, height_km = _pixel_km(scene)
    extent = (0.0, scene.width * width_km, scene.height * height_km, 0.0)
    panel_height = 6.1 * float(np.clip(extent[2] / extent[1], 0.4, 1.8))
    figure = Figure(figsize=(14.0, panel_height + 1.2), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)

    edge = values.shape[2] * step * width_km, values.shape[1] * step * height_km
    left.imshow(stretched(values), extent=(0.0, edge[0], edge[1], 0.0), interpolation="nearest")
    _draw_outlines(left, scene, outlines, step)
    names = [group.channels[channel] for channel in channels]
    left.set_title(
        as_text(f"{label(scene.files[group.name])} ({' / '.join(names)})"), fontsize=10, loc="left"
    )
    left.set_ylabel("km")

    shown = right.imshow(
        certain, extent=extent, vmin=0, vmax=1, cmap="viridis", interpolation="nearest"
    )
    right.set_title("Confidence", fontsize=10, loc="left")
    figure.colorbar(shown, ax=right, label="0 = a guess, 1 = certain", shrink=0.9, pad=0.02)
    for axes in (left, right):
        axes.set_facecolor(NODATA_COLOUR)
        axes.set_xlabel("km")
        axes.set_aspect("equal")
        axes.set(xlim=extent[:2], ylim=extent[2:])

    handles: list[Artist] = [
        Line2D([], [], color=OUTLINE_COLOUR, linewidth=2, label="glacier outline")
    ]
    if np.isnan(certain).any():
        handles.append(Patch(facecolor=NODATA_COLOUR, label="no data"))
    left.legend(handles=handles, loc="lower left", fontsize=9, framealpha=0.8, facecolor="#888888")
    area, count = float(outlines["area_km2"].sum()), len(outlines)
    figure.suptitle(
        f"{count:,} glacier outline{'' if count == 1 else 's'}, {area:,.2f} km²", fontsize=13
    )
    # As small as with the usual 6, in half the time.
    figure.savefig(path, format="png", pil_kwargs={"compress_level": 4})


def _draw_outlines(
    axes: Axes, scene: Scene, outlines: geopandas.GeoDataFrame, reduction: int
) -> None:
    geometries = np.asarray(outlines.geometry.array)
    width_km, height_km = _pixel_km(scene)
    # In pixels first, so that rotated grids and degrees need no care.
    a, b, c, d, e, f = (~scene.transform)[:6]
    pixels = shapely.transform(
        geometries, lambda xy: xy @ np.array([[a, d], [b, e]]) + np.array([c, f])
    )
    if reduction > 1:
        pixels = shapely.simplify(pixels, reduction)
    rings = shapely.get_rings(pixels)
    lines = [shapely.get_coordinates(ring) * (width_km, height_km) for ring in rings]
    axes.add_collection(
        LineCollection(
            lines,
            colors=OUTLINE_COLOUR,
            linewidths=1.0,
            path_effects=[Stroke(linewidth=2.2, foreground="#00000099"), Normal()],
        ),
        autolim=False,
    )


def _pixel_km(scene: Scene) -> tuple[float, float]:
    """Return the width and height of a pixel in the middle of the scene."""
    width, height = scene.pixel_size(scene.height // 2, 1)
    return width.item() / 1000, height.item() / 1000
