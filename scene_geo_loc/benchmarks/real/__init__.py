"""Benchmark on public data sets of real images: readers, protocols, a resumable run and its page."""
