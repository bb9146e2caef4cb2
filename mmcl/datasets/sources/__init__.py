"""What data sets are read from and made of: manifests, XD-Violence's files, synthetic recordings."""
