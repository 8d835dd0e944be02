"""From a scene to glacier outlines: reading, predicting window by window, vectorising."""

from glavitu.mapping.mapper import MapResult, SceneModel, map_scene
from glavitu.mapping.outlines import outlines_from_raster, write_outlines
from glavitu.mapping.preview import write_preview

__all__ = [
    "MapResult",
    "SceneModel",
    "map_scene",
    "outlines_from_raster",
    "write_outlines",
    "write_preview",
]
