"""Names of kinds of arrays."""

import numpy as np
import numpy.typing as npt

#: Values, a pixel each.
FloatArray = npt.NDArray[np.float32]

#: Coordinates and sums.
DoubleArray = npt.NDArray[np.float64]

BoolArray = npt.NDArray[np.bool_]

#: Geometries of shapely's.
Geometries = npt.NDArray[np.object_]
