"""Pretraining, calibration, finetuning and the retention classifier's training."""
