from .benchmark_tiles import BenchmarkTiles as BenchmarkTiles
from .glacier_rasters import GlacierRasters as GlacierRasters
from .samplers import GridWindows as GridWindows
from .samplers import RandomWindows as RandomWindows
from .samplers import TileWindow as TileWindow
from .samplers import WholeTiles as WholeTiles
from .synthetic import SyntheticGlaciers as SyntheticGlaciers
