"""Rules as data and the evaluator that explains its decision."""
