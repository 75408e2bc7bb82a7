"""A private Asterisk and SIPp, fetched without root; used by make run, the demo, the tests and the benchmarks."""
