"""What stops commands, and what is left then: kills, two at once, full disks; and broken inputs."""
