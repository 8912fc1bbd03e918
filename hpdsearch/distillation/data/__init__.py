"""The texts of a distillation: reading, augmentation, split."""
