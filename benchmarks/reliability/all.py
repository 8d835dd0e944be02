"""All trials one after the other, on inputs that are made once.

python -m benchmarks.reliability.all
"""

from benchmarks.reliability import trying
from benchmarks.reliability.full_disks import fill
from benchmarks.reliability.kills import kill
from benchmarks.reliability.races import race

if __name__ == "__main__":
    trying.main(__doc__, kills=(kill, 200), races=(race, 40), full_disks=(fill, 40))
