"""A small map-anything: several panoramas in, metric geometry and poses out."""
