"""The verifier: any input in, a verdict and an answer out. No database, no HSM, no network of its own."""
