"""From a scene to glacier outlines: reading, predicting window by window, vectorising."""

from glavitu.mapping.mapper import MapResult, SceneModel, map_scene
from glavitu.mapping.preview import write_preview
from glavitu.outlines.from_raster import outlines_from_raster, write_outlines

__all__ = [
    "MapResult",
    "SceneModel",
    "map_scene",
    "outlines_from_raster",
    "write_outlines",
    "write_preview",
]
