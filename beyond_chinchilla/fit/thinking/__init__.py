"""From scores at several numbers of samples to the law of thinking at inference."""
