"""Files that are written whole, by one program at a time, and read within bounds."""
