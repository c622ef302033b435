"""Learning: from annotated patches to a bundle. The only importer of torch."""
