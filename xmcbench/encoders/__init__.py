"""From a text or a bag of words to an embedding, for any method. `encoder.py` is the contract, read it first."""
