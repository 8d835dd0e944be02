from .epoch_seeds import EpochSeeds as EpochSeeds
from .predictions import PredictionFigures as PredictionFigures
from .predictions import PredictionWriter as PredictionWriter
from .region_report import RegionReport as RegionReport
