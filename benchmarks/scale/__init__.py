"""Growth with the corpus: search, memory and build from 10,000 to 10 million vectors; codecs; single adds."""
