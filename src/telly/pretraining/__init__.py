"""Pre-training of the embedded model: corpus, tokenizer, objectives and growth by stacking."""
