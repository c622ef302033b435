"""Following corrosion: tracks of particles, pits, events; tables in, tables out."""
