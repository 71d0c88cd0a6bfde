"""Whatever is claimed is run again: verify, why, and the attacks on a strategy."""
