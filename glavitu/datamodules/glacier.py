"""The LightningDataModule over glacier rasters."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn
from torchgeo.datamodules import GeoDataModule

from glavitu.datasets.rasters import GlacierRasters
from glavitu.datasets.samplers import GridWindows, RandomWindows, WholeTiles, patches_of
from glavitu.errors import InputError
from glavitu.features import FeatureGroup, resolve_features
from glavitu.transforms import augmentations


class GlacierDataModule(GeoDataModule):
    """Training windows, validation windows and whole test tiles of glacier rasters.

    Either the root has the folders ``train``, ``val`` and ``test``, each with tiles as
    :class:`~glavitu.datasets.GlacierRasters` reads them; or all three come from the root itself,
    cut out by bounds.

    Args:
        root: Folder of the data.
        features: Feature groups: names of known ones, or name, channels, minimum and maximum of
            your own.
        files: Name or glob pattern of each group's raster in a tile's folder; ``<group>.tif`` by
            default. One string names one raster with all groups' bands in order.
        outlines: Name or glob pattern of the labels in a tile's folder.
        region: Code of the region of all tiles; by default their rasters' tag tells.
        location: Location vector for the model: ``region``, ``coordinates`` or none.
        train_bounds: xmin, ymin, xmax, ymax of the training part, in the rasters' CRS.
        val_bounds: The same of the validation part.
        test_bounds: The same of the test part.
        patch_size: Side of the windows in pixels, a multiple of 16.
        batch_size: Windows in a batch. Test tiles come one by one.
        steps_per_epoch: Batches of an epoch; by default as published, 4 x floor(patches / batch),
            where patches counts the non-overlapping windows of all tiles.
        num_workers: Processes that read ahead; 0 reads in the main process.
        vertical_flip: Probability of a vertical flip in training.
        horizontal_flip: Probability of a horizontal flip in training.
        rotation: Probability of a rotation by 90, 180 or 270 degrees in training.
    """

    def __init__(
        self,
        root: str,
        features: Sequence[str | FeatureGroup] = ("optical", "dem"),
        files: dict[str, str] | str | None = None,
        outlines: str = "outlines.*",
        region: str | None = None,
        location: str | None = None,
        train_bounds: list[float] | None = None,
        val_bounds: list[float] | None = None,
        test_bounds: list[float] | None = None,
        patch_size: int = 384,
        batch_size: int = 8,
        steps_per_epoch: int | None = None,
        num_workers: int = 0,
        vertical_flip: float = 0.5,
        horizontal_flip: float = 0.5,
        rotation: float = 0.75,
    ) -> None:
        super().__init__(GlacierRasters, batch_size, patch_size, num_workers=num_workers)
        self.root = Path(root)
        self.features = resolve_features(features)
        self.bounds = {"train": train_bounds, "val": val_bounds, "test": test_bounds}
        self.steps_per_epoch = steps_per_epoch
        self.size = patch_size
        self.dataset_options: dict[str, Any] = {
            "features": self.features,
            "files": files,
            "outlines": outlines,
            "region": region,
            "location": location,
        }
        self.test_batch_size = self.predict_batch_size = 1
        self.train_aug = augmentations(vertical_flip, horizontal_flip, rotation)
        # Samples come scaled, so nothing is left to normalise.
        self.aug = nn.Identity()

    # TorchGeo's samplers yield slices of coordinates, ours windows of tiles.
    train_sampler: Any
    val_sampler: Any
    test_sampler: Any
    predict_sampler: Any

    def setup(self, stage: str) -> None:
        """Open the datasets of a stage and make their samplers.

        Args:
            stage: ``'fit'``, ``'validate'``, ``'test'`` or ``'predict'``.

        Raises:
            InputError: If the data is missing or does not fit; the message says what to do.
        """
        if stage == "fit":
            self.train_dataset = self._open("train")
            extents = self.train_dataset.extents
            patches = sum(patches_of(extent, self.size) for extent in extents)
            steps = self.steps_per_epoch or 4 * max(1, patches // self.batch_size)
            self.train_sampler = RandomWindows(extents, self.size, steps * self.batch_size)
        if stage in ("fit", "validate"):
            self.val_dataset = self._open("val")
            self.val_sampler = GridWindows(self.val_dataset.extents, self.size)
        if stage == "test":
            self.test_dataset = self._open("test")
            self.test_sampler = WholeTiles(self.test_dataset.extents)
        if stage == "predict":
            # Places to predict need no labels.
            self.predict_dataset = self._open("test", outlines=None)
            self.predict_sampler = WholeTiles(self.predict_dataset.extents)

    def _open(self, split: str, **changes: Any) -> GlacierRasters:
        options = self.dataset_options | changes
        if not any(self.bounds.values()):
            if not (self.root / split).is_dir():
                raise InputError(
                    f"{self.root / split}: no such folder; data.root must hold train, val and "
                    "test, or be a scene whose parts are named by data.train_bounds, "
                    "data.val_bounds and data.test_bounds"
                )
            return GlacierRasters(self.root / split, **options)
        bounds = self.bounds[split]
        if bounds is None:
            raise InputError(
                f"{split}_bounds is not set, but another part's bounds are; give all three, or "
                f"none and the folders train, val and test in {self.root}"
            )
        return GlacierRasters(self.root, bounds=bounds, **options)
