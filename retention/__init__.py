"""The worker that forgets on time, and the proofs that it did."""
