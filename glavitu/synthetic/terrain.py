"""The land and the ice of the synthetic world.

Land: rivers first. A random drainage tree is grown from the outlets, and the elevation follows
from it by the law that streams flatten as they gather water (Flint 1974, doi
10.1029/WR010i005p00969), so that there are ridges, and valleys which join. Ice: what snow leaves
above the equilibrium line is routed down the same valleys until it has melted, and fills them to
a height that grows with the flux. Both on a grid of half the resolution, then refined.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from glavitu.arrays import BoolArray, FloatArray
from glavitu.rasters.terrain import slope_degrees
from glavitu.synthetic.regions import RegionProfile

IntArray = npt.NDArray[np.int64]

#: Glaciers smaller than this, in pixels, are taken for snow patches.
MIN_GLACIER = 20


@dataclass(frozen=True)
class Landscape:
    """Land and ice of a tile, all (H, W).

    Args:
        elevation: Of the surface, ice included, in m.
        ice: Where a glacier is, debris-covered or not.
        debris: Where debris covers the ice.
        water: Where lakes and sea are.
        height: Of the surface above the equilibrium line, in m.
        speed: Of the ice, 0 at rest to 1 in the middle of a large tongue; 0 off the ice.
    """

    elevation: FloatArray
    ice: BoolArray
    debris: BoolArray
    water: BoolArray
    height: FloatArray
    speed: FloatArray


def fractal(rng: np.random.Generator, size: int, roughness: float, finest: float = 0) -> FloatArray:
    """Noise without a scale of its own.

    Args:
        rng: Source of randomness.
        size: Height and width in pixels.
        roughness: Exponent of the amplitude spectrum; 1 is rough, 2 is smooth.
        finest: Wavelength in pixels below which there is nothing.

    Returns:
        float32 (size, size), mean 0 and standard deviation 1.
    """
    # Twice the size, so that the far sides need not match, as they would in a periodic field.
    frequency = np.hypot(np.fft.fftfreq(2 * size)[:, None], np.fft.rfftfreq(2 * size)[None, :])
    frequency[0, 0] = np.inf
    amplitude = frequency**-roughness
    if finest:
        amplitude *= frequency < 1 / finest
    white = rng.standard_normal((2, *frequency.shape))
    field = np.fft.irfft2(amplitude * (white[0] + 1j * white[1]))[:size, :size]
    return np.asarray((field - field.mean()) / field.std(), dtype=np.float32)


class Drainage:
    """A tree along which every cell of a square grid drains to an outlet.

    Args:
        cost: (n, n) cost of a channel through each cell, positive.
        outlets: (n, n) where water leaves the grid.
    """

    def __init__(self, cost: FloatArray, outlets: BoolArray) -> None:
        """Grow the tree: the cheapest path from each cell to an outlet."""
        size = len(cost)
        cells = np.arange(size * size).reshape(size, size)
        ends, weights = [], []
        for row, col in ((0, 1), (1, 0), (1, 1), (1, -1)):
            first = (slice(0, size - row), slice(max(0, -col), size - max(0, col)))
            second = (slice(row, size), slice(max(0, col), size + min(0, col)))
            ends.append(np.stack([cells[first].ravel(), cells[second].ravel()]))
            weights.append((cost[first] + cost[second]).ravel() * np.hypot(row, col))
        edges = (np.concatenate(weights), np.concatenate(ends, axis=1))
        graph = sparse.csr_matrix(edges, shape=(size * size, size * size))
        _, receiver, _ = csgraph.dijkstra(
            graph,
            directed=False,
            indices=np.flatnonzero(outlets),
            min_only=True,
            return_predecessors=True,
        )
        itself = cells.ravel()
        #: Cell that each cell drains to, (n * n,); an outlet drains to itself.
        self.receiver: IntArray = np.where(receiver < 0, itself, receiver).astype(np.int64)
        step = np.abs(itself - self.receiver)
        #: Length of the step to the receiver in cell sizes, (n * n,); 0 at an outlet.
        self.length = np.where(step == 0, 0, np.where((step == 1) | (step == size), 1, np.sqrt(2)))
        depth = self.climb(np.sign(step)).astype(np.int64)
        self._levels = np.split(np.argsort(depth), np.cumsum(np.bincount(depth))[:-1])

    def climb(self, steps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Sum the steps from the outlet up to every cell.

        Args:
            steps: (n * n,) what the step from its receiver to a cell adds; 0 at outlets.
        """
        total, ancestor = steps.astype(np.float64), self.receiver
        while not np.array_equal(ancestor, ancestor[ancestor]):
            total, ancestor = total + total[ancestor], ancestor[ancestor]
        return total

    def gather(self, gains: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Sum what the cells above and a cell itself gain or lose, never below 0.

        Args:
            gains: (n * n,) gain or loss of each cell.
        """
        flux = gains.copy()
        for level in self._levels[:0:-1]:
            flux[level] = np.maximum(flux[level], 0)
            np.add.at(flux, self.receiver[level], flux[level])
        return np.maximum(flux, 0)

    def first_below(self, wanted: npt.NDArray[np.bool_]) -> IntArray:
        """Return the first wanted cell on the way down from each cell, itself included.

        Args:
            wanted: (n * n,).

        Returns:
            (n * n,) indices of cells; of an outlet where no cell on the way is wanted.
        """
        link = np.where(wanted, np.arange(len(wanted)), self.receiver)
        while not np.array_equal(link, link[link]):
            link = link[link]
        return link


def landscape(
    rng: np.random.Generator,
    profile: RegionProfile,
    size: int,
    resolution: float,
    rise: float = 0.0,
) -> Landscape:
    """Make the land and the ice of a tile.

    Args:
        rng: Source of randomness.
        profile: The region.
        size: Height and width in pixels.
        resolution: Size of a pixel in m.
        rise: How far the equilibrium line has risen since in m, so that the glaciers of the same
            land have retreated.
    """
    margin = max(4, size // 16)
    cells, cell = (size + 1) // 2 + 2 * margin, 2 * resolution
    inner = slice(margin, -margin)
    land, drainage = _land(rng, profile, cells, cell)
    share = np.clip(profile.accumulation * rng.uniform(0.7, 1.3), 0, 1)
    height = land - np.quantile(land[inner, inner], 1 - share) - np.float32(rise)
    line = profile.equilibrium_line + rise
    level = np.quantile(height[inner, inner], profile.water * rng.uniform(0, 2))
    level = max(level, -line)
    thickness = _ice(rng, profile, height, drainage, cell)

    def refine(coarse: FloatArray, order: int) -> FloatArray:
        fine = ndimage.zoom(coarse, 2, order=order, mode="nearest", grid_mode=True)
        fine = fine[2 * margin : 2 * margin + size, 2 * margin : 2 * margin + size]
        return np.asarray(fine, dtype=np.float32)

    texture = fractal(rng, size, 1.2, finest=3)
    height = np.maximum(refine(height, 3) + 8 * texture, level).astype(np.float32)
    thickness = refine(thickness, 1) + 3 * fractal(rng, size, 1.0, finest=3)
    water = height <= level
    ice = _without_specks((thickness > 0) & ~(water & (thickness < 10)))
    thickness = np.where(ice, np.maximum(thickness, 1), 0).astype(np.float32)
    # Ice hides the rough ground below it.
    rough = np.where(ice, 6 * texture, 0)
    surface = np.maximum(height + thickness - rough, level).astype(np.float32)
    return Landscape(
        elevation=surface + np.float32(line),
        ice=ice,
        debris=_debris(rng, profile, surface, thickness, ice),
        water=water & ~ice,
        height=surface,
        speed=(1 - np.exp(-thickness / 12)).astype(np.float32),
    )


def _land(
    rng: np.random.Generator, profile: RegionProfile, cells: int, cell: float
) -> tuple[FloatArray, Drainage]:
    """Return land (n, n) in m above an unknown datum, and how it drains."""
    border = np.ones((cells, cells), dtype=np.bool_)
    border[1:-1, 1:-1] = False
    broad = fractal(rng, cells, 2.0)
    outlets = border & (broad <= np.quantile(broad[border], 0.35))
    noise = np.exp(1.2 * fractal(rng, cells, 1.0)).astype(np.float32)
    cost = noise
    for _ in range(3):
        drainage = Drainage(cost, outlets)
        area = drainage.gather(np.ones(cells * cells))
        # Large streams capture their neighbours.
        cost = noise * area.reshape(cells, cells).astype(np.float32) ** -0.3
    gradient = np.minimum(profile.steepness * (area * cell**2 / 1e4) ** -0.4, 1.0)
    land = drainage.climb(gradient * drainage.length * cell).reshape(cells, cells)
    for _ in range(30):  # slopes steeper than rock holds slide down
        land = np.minimum(land, ndimage.minimum_filter(land, size=3) + 0.9 * cell)
    return ndimage.gaussian_filter(land, 1.2).astype(np.float32), drainage


def _ice(
    rng: np.random.Generator,
    profile: RegionProfile,
    height: FloatArray,
    drainage: Drainage,
    cell: float,
) -> FloatArray:
    """Return the thickness of the ice (n, n) in m, below 0 by how far the ground stands out."""
    cells = len(height)
    southward = np.gradient(height, cell, axis=0) * np.sign(profile.latitude)
    local = height + 120 * southward + 60 * fractal(rng, cells, 1.5)
    melt = 0.018 * (1 - profile.debris)  # debris shields the ice below it
    balance = np.where(local > 0, np.minimum(0.006 * local, 1.5), melt * local)
    flux = drainage.gather(balance.ravel().astype(np.float64)) * cell**2 / 1e4
    valley = drainage.first_below(flux > 0)
    surface = (height.ravel() + np.where(flux > 0, 18 * flux**0.32, -80))[valley]
    thickness = surface.reshape(cells, cells) - height
    # Snow slides off steep faces and is blown off ridges.
    thickness -= 4 * np.maximum(slope_degrees(height, cell, cell) - 35, 0)
    thickness -= 0.5 * np.maximum(height - ndimage.gaussian_filter(height, 4) - 10, 0)
    smooth = ndimage.gaussian_filter(np.clip(thickness, -60, 200), 0.8)
    return np.asarray(smooth, dtype=np.float32)


def _debris(
    rng: np.random.Generator,
    profile: RegionProfile,
    height: FloatArray,
    thickness: FloatArray,
    ice: BoolArray,
) -> BoolArray:
    """Cover the region's share of the ice, from the snouts and margins of the tongues up."""
    score = -height / 100 - thickness / 80 + 0.7 * fractal(rng, len(height), 1.2)
    below = ice & (height < 0)
    wanted = profile.debris * rng.uniform(0.8, 1.2) * ice.sum()
    if wanted < 1 or not below.any():
        return np.zeros_like(ice)
    share = min(wanted / below.sum(), 1.0)
    return np.asarray(below & (score >= np.quantile(score[below], 1 - share)))


def _without_specks(mask: BoolArray) -> BoolArray:
    """Drop glaciers smaller than MIN_GLACIER pixels, and close holes of less than half of it."""
    for value, smallest in ((False, MIN_GLACIER // 2), (True, MIN_GLACIER)):
        labels, _ = ndimage.label(mask == value)
        small = np.bincount(labels.ravel()) < smallest
        small[0] = False
        mask = mask ^ small[labels]
    return mask
