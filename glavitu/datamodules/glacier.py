"""The LightningDataModule over the benchmark's tiles and over rasters."""

import multiprocessing
from collections.abc import Sequence
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from glavitu.datasets.benchmark_tiles import BenchmarkTiles, is_benchmark
from glavitu.datasets.glacier_rasters import GlacierRasters
from glavitu.datasets.manifest import is_manifest
from glavitu.datasets.samplers import (
    FixedShare,
    GridWindows,
    ProcessShare,
    RandomWindows,
    TileWindow,
    WholeTiles,
    patches_of,
)
from glavitu.datasets.torchgeo_api import stack_samples, unknown_torchgeo
from glavitu.errors import InputError, check_number
from glavitu.features import FeatureGroup, resolve_features
from glavitu.transforms import Augmentation, TrainingAugmentation

try:
    from torchgeo.datamodules import GeoDataModule
except ImportError as error:
    raise unknown_torchgeo(error) from error

#: Name pattern of the labels where nothing else is said.
OUTLINES = "outlines.*"


class GlacierDataModule(GeoDataModule):
    """Training windows, validation windows and whole test tiles of the benchmark or of rasters.

    The root has the HDF5 files of the released benchmark; or the folders ``train``, ``val`` and
    ``test``, each with tiles as :class:`~glavitu.datasets.GlacierRasters` reads them; or all three
    parts come from the root itself, cut out by bounds. For tests alone it may be a manifest, a CSV
    file that lists scenes (:func:`~glavitu.datasets.manifest.read_manifest`).

    With several processes, each trains on windows of its own, all as many, and each window or tile
    is validated or tested by one of them.

    Args:
        root: Folder of the data, or a manifest of scenes to test.
        features: Feature groups: names of known ones, or name, channels, minimum and maximum of
            your own.
        files: Name or glob pattern of each group's raster in a tile's folder; ``<group>.tif`` by
            default. One string names one raster with all groups' bands in order.
        outlines: Name or glob pattern of the labels in a tile's folder, or the absolute path of
            one file for all tiles.
        scales: Scale and offset of stored values by the name of their group, such as
            ``{optical: [0.0001, -0.1]}``; by default those of the files' own tags. ``--scale
            optical=0.0001,-0.1`` says the same on the command line.
        nodata: Stored value that means missing by the name of its group, in the place of what the
            files say, such as ``{dem: -9999}``; null if none does. ``--nodata dem=-9999`` says the
            same on the command line.
        decibels: Sigma0 is in decibels.
        slope_percent: Slope is in percent.
        region: Code of the region of all tiles; by default their rasters' tag tells.
        regions: Codes of the regions whose tiles are kept; all by default.
        subregions: Subregions whose tiles are kept; all by default.
        location: Location vector for the model: ``region``, ``coordinates`` or none.
        train_bounds: xmin, ymin, xmax, ymax of the training part, in the rasters' CRS.
        val_bounds: The same of the validation part.
        test_bounds: The same of the test part.
        patch_size: Side of the windows in pixels, a multiple of 16.
        batch_size: Windows in a batch of each process. Test tiles come one by one.
        steps_per_epoch: Batches of an epoch, counted over all processes; by default as published,
            4 x floor(patches / batch), where patches counts the non-overlapping windows of all
            tiles.
        balanced: Draw a region first, then a tile in it, so that all regions are trained on
            equally. As published, all tiles are equally likely.
        num_workers: Processes that read ahead; 0 reads in the main process.
        augmentation: Probabilities and strengths of the augmentation in training.
        padding: What lies beyond a tile: ``unknown`` is in no loss and no score, and windows lie
            inside the tile where they fit; ``land`` is as published, with windows that reach into
            it. By default ``land`` for the released benchmark and ``unknown`` for rasters.
        layer: Layer of the outlines, in files of which several layers hold polygons.
    """

    def __init__(
        self,
        root: str,
        features: Sequence[str | FeatureGroup] = ("optical", "dem"),
        files: dict[str, str] | str | None = None,
        outlines: str = OUTLINES,
        region: str | None = None,
        regions: list[str] | None = None,
        subregions: list[str] | None = None,
        location: str | None = None,
        train_bounds: list[float] | None = None,
        val_bounds: list[float] | None = None,
        test_bounds: list[float] | None = None,
        patch_size: int = 384,
        batch_size: int = 8,
        steps_per_epoch: int | None = None,
        balanced: bool = False,
        num_workers: int = 0,
        augmentation: Augmentation = Augmentation(),  # noqa: B008  (frozen)
        padding: str | None = None,
        scales: dict[str, list[float] | float] | None = None,
        nodata: dict[str, float | None] | None = None,
        decibels: bool = False,
        slope_percent: bool = False,
        layer: str | None = None,
    ) -> None:
        check_number("data.batch_size", batch_size, 1, whole=True)
        check_number("data.patch_size", patch_size, 1, whole=True)
        check_number("data.num_workers", num_workers, 0, whole=True)
        if steps_per_epoch is not None:
            check_number("data.steps_per_epoch", steps_per_epoch, 1, whole=True)
        try:
            super().__init__(GlacierRasters, batch_size, patch_size, num_workers=num_workers)
        except TypeError as error:
            raise unknown_torchgeo(f"GeoDataModule: {error}") from error
        self.root = Path(root)
        self.features = resolve_features(features)
        self.bounds = {"train": train_bounds, "val": val_bounds, "test": test_bounds}
        self.steps_per_epoch = steps_per_epoch
        self.balanced = balanced
        self.size = patch_size
        self.tile_options: dict[str, Any] = {
            "features": self.features,
            "regions": regions,
            "subregions": subregions,
            "location": location,
        } | ({} if padding is None else {"padding": padding})
        self.raster_options: dict[str, Any] = {
            "files": files,
            "outlines": outlines,
            "region": region,
            "scales": scales,
            "nodata": nodata,
            "decibels": decibels,
            "slope_percent": slope_percent,
            "layer": layer,
        }
        self.train_aug = TrainingAugmentation(augmentation, self.features, location)
        # A process may have no tile of its own to predict.
        self.allow_zero_length_dataloader_with_multiple_devices = True
        self._epoch = self._batches = 0

    # TorchGeo's samplers yield slices of coordinates, ours windows of tiles.
    train_sampler: Any
    val_sampler: Any
    test_sampler: Any
    predict_sampler: Any
    train_aug: Any

    def setup(self, stage: str) -> None:
        """Open the datasets of a stage and make their samplers.

        Args:
            stage: ``'fit'``, ``'validate'``, ``'test'`` or ``'predict'``.

        Raises:
            InputError: If the data is missing or does not fit; the message says what to do.
        """
        if stage == "fit":
            dataset = self._open("train")
            self.train_dataset = dataset
            self._windows = self._random_windows(dataset)
            self.train_sampler = self._share(self._windows)
            self._epoch = self._batches = 0
        if stage in ("fit", "validate"):
            self.val_dataset = self._open("val")
            windows = GridWindows(
                self.val_dataset.extents, self.size, self.val_dataset.padding == "unknown"
            )
            self.val_sampler = self._share(windows, fill=True)
        if stage == "test":
            self.test_dataset = self._open("test")
            self.test_sampler = self._share(WholeTiles(self.test_dataset.extents), fill=True)
        if stage == "predict":
            # Places to predict need no labels.
            self.predict_dataset = self._open("test", outlines=None)
            self.predict_sampler = self._share(WholeTiles(self.predict_dataset.extents))

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Move the tensors of a batch to a device."""
        # TorchGeo 0.8 would take a CRS and slices out first, which samples no longer have.
        moved = LightningDataModule.transfer_batch_to_device(self, batch, device, dataloader_idx)
        return cast(dict[str, Tensor], moved)

    def on_after_batch_transfer(
        self, batch: dict[str, Tensor], dataloader_idx: int
    ) -> dict[str, Tensor]:
        """Augment training windows on the device; others, which come scaled, stay as they are."""
        training = self.trainer is not None and self.trainer.training
        return self.train_aug(batch) if training else batch

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Load the training windows of the epoch that comes next."""
        processes = 1 if self.trainer is None else self.trainer.world_size
        self._windows.go_on(self._epoch, self._batches * self.batch_size * processes)
        # Workers read ahead before Lightning tells the sampler the epoch.
        self.train_sampler.set_epoch(max(self._epoch, self._progress["epoch"]))
        return super().train_dataloader()

    def whole_tiles(self, split: str) -> DataLoader[dict[str, Tensor]]:
        """Load the labelled tiles of a part whole, one by one; each in one process.

        It needs no :meth:`setup`.

        Args:
            split: ``'train'``, ``'val'`` or ``'test'``.

        Raises:
            InputError: If the data is missing or does not fit; the message says what to do.
        """
        dataset = self._open(split)
        return DataLoader(
            dataset,
            sampler=self._share(WholeTiles(dataset.extents)),
            num_workers=self.num_workers,
            multiprocessing_context=_start_of(self.num_workers),
            collate_fn=_collate,
            generator=torch.Generator(),
        )

    def state_dict(self) -> dict[str, Any]:
        """Keep where training is in checkpoints: loaders are made before Lightning restores it.

        Returns:
            ``epoch``, that which runs or comes next, and ``batches``, those of it that each process
            has trained on.
        """
        return self._progress

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from where a checkpoint was."""
        self._epoch = state_dict["epoch"]
        self._batches = state_dict.get("batches", 0)  # 0.1 did not keep them

    @property
    def _progress(self) -> dict[str, Any]:
        if self.trainer is None:
            return {"epoch": 0, "batches": 0}
        loop: Any = self.trainer.fit_loop
        epochs, batches = loop.epoch_progress.current, loop.epoch_loop.batch_progress.current
        within = epochs.ready > epochs.processed
        return {"epoch": epochs.processed, "batches": batches.processed if within else 0}

    def _random_windows(self, dataset: BenchmarkTiles | GlacierRasters) -> RandomWindows:
        extents = dataset.extents
        patches = sum(patches_of(extent, self.size) for extent in extents)
        inside = dataset.padding == "unknown"
        steps = self.steps_per_epoch or 4 * max(1, patches // self.batch_size)
        processes, seed = 1, torch.initial_seed()
        if self.trainer is not None:
            processes, seed = self.trainer.world_size, self.trainer.strategy.broadcast(seed)
        windows = max(1, steps // processes) * processes * self.batch_size
        regions = [tile.region for tile in dataset.tiles] if self.balanced else None
        return RandomWindows(extents, self.size, windows, seed, regions, inside)

    def _share(
        self, sampler: Sampler[TileWindow], fill: bool = False
    ) -> Sampler[TileWindow] | ProcessShare:
        trainer = self.trainer
        if trainer is not None and getattr(trainer, "overfit_batches", False):
            return FixedShare(sampler, trainer.global_rank, trainer.world_size, fill)
        if trainer is None or trainer.world_size == 1:
            return sampler
        return ProcessShare(sampler, trainer.global_rank, trainer.world_size, fill)

    def _dataloader_factory(self, split: str) -> DataLoader[dict[str, Tensor]]:
        # TorchGeo's refuses a sampler that is empty in this process.
        return DataLoader(
            getattr(self, f"{split}_dataset"),
            batch_size=self.batch_size if split in ("train", "val") else 1,
            sampler=getattr(self, f"{split}_sampler"),
            num_workers=self.num_workers,
            multiprocessing_context=_start_of(self.num_workers),
            collate_fn=_collate,
            drop_last=split == "train",
            # From pinned memory batches go to the GPU without one more copy on the way; whole
            # tiles would take too much of it.
            pin_memory=split in ("train", "val")
            and self.trainer is not None
            and self.trainer.strategy.root_device.type == "cuda",
            persistent_workers=self.num_workers > 0,
            # Loaders draw a seed whenever they start: not from the training's own draws.
            generator=torch.Generator(),
        )

    def _open(self, split: str, **changes: Any) -> BenchmarkTiles | GlacierRasters:
        if is_benchmark(self.root):
            self._refuse_raster_options()
            return BenchmarkTiles(self.root, split, **self.tile_options)
        options = self.tile_options | self.raster_options | changes
        if is_manifest(self.root):
            return self._open_manifest(split, options)
        if not any(self.bounds.values()):
            if not (self.root / split).is_dir():
                raise InputError(
                    f"{self.root / split}: no such folder; data.root must hold the benchmark's "
                    "HDF5 files, or the folders train, val and test, or be a scene whose parts are "
                    "named by data.train_bounds, data.val_bounds and data.test_bounds"
                )
            return GlacierRasters(self.root / split, **options)
        bounds = self.bounds[split]
        if bounds is None:
            raise InputError(
                f"{split}_bounds is not set, but another part's bounds are; give all three, or "
                f"none and the folders train, val and test in {self.root}"
            )
        return GlacierRasters(self.root, bounds=bounds, **options)

    def _open_manifest(self, split: str, options: dict[str, Any]) -> GlacierRasters:
        if split != "test" or any(self.bounds.values()):
            raise InputError(
                f"{self.root}: a manifest lists whole scenes to test or predict; to train, "
                "validate or calibrate, or to cut scenes by bounds, give a folder as data.root"
            )
        return GlacierRasters(self.root, **options)

    def _refuse_raster_options(self) -> None:
        named = self.raster_options | {f"{split}_bounds": b for split, b in self.bounds.items()}
        usual = {"outlines": OUTLINES, "decibels": False, "slope_percent": False}
        given = [f"data.{key}" for key, value in named.items() if value != usual.get(key)]
        if given:
            raise InputError(
                f"{self.root} holds the benchmark's HDF5 files, but {', '.join(given)} "
                f"{'is' if len(given) == 1 else 'are'} for rasters only; leave out what is for "
                "rasters, or give a folder of rasters as data.root"
            )


def _start_of(workers: int) -> BaseContext | None:
    """Say how worker processes start: as usual, but never forked where CUDA runs already."""
    forked = workers > 0 and multiprocessing.get_start_method() == "fork"
    if not (forked and torch.cuda.is_initialized()):  # type: ignore[no-untyped-call]
        return None
    # CUDA's threads, and what they hold locked, are no part of a fork. Workers are forked from a
    # process without them instead, which imports what they need once for all.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def _collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Stack samples; a single one, such as a whole scene, without a copy."""
    if len(samples) > 1:
        return cast(dict[str, Any], stack_samples(samples))
    return {key: value[None] for key, value in samples[0].items()}
