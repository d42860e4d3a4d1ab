"""Training mechanics shared by tuning and pre-training: the Trainer with telly's checkpoints and data order."""
