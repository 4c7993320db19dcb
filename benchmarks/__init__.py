"""What `make bench` measures: ratios to named peers and limits, in one run on one machine."""
