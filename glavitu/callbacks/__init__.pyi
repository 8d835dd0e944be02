from .calibration_report import CalibrationReport as CalibrationReport
from .confidence_calibration import ConfidenceCalibration as ConfidenceCalibration
from .epoch_seeds import EpochSeeds as EpochSeeds
from .predictions import PredictionFigures as PredictionFigures
from .predictions import PredictionWriter as PredictionWriter
from .region_report import RegionReport as RegionReport
from .stop_signals import StopSignals as StopSignals
from .worst_tiles import WorstTiles as WorstTiles
