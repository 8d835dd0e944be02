from .region_confusion import RegionConfusion as RegionConfusion
