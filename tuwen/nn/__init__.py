"""Shared blocks: tensors in, tensors out; they know no family."""
