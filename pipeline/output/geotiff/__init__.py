"""Products as GeoTIFFs: written in bounded memory, whatever the size of the scene."""
