"""Healing by distillation: the smaller model learns to predict what the original predicts."""
