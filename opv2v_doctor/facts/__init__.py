"""Facts: what checks look at. Each measures, is cached per target, and judges nothing."""
