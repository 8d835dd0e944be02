"""What faults, crashes and hostile files do: kills, races, full disks, and a fuzzer."""
