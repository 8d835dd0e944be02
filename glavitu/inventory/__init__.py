"""What there is in a folder of data, whether it is sound, and its conversion."""
