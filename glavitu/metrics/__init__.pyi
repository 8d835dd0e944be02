from .glacier_iou import GlacierIoU as GlacierIoU
from .region_confusion import RegionConfusion as RegionConfusion
from .reliability import Reliability as Reliability
from .reliability import ReliabilityHistogram as ReliabilityHistogram
from .tile_confusion import TileConfusion as TileConfusion
