"""Layers without opinion: tensors in, tensors out. They know no task, no run and no data set."""
