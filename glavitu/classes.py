"""The classes of a pixel: 0 is no glacier, 1 is glacier; more may follow where data have them."""

#: Index of the glacier class, in masks as in the axis of class probabilities.
GLACIER = 1

#: Stands in masks where nobody knows the class: such pixels are in no loss, score or calibration.
UNKNOWN = 255
