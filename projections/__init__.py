"""What the events mean: pure folds of the log and the decisions taken on them."""
