"""Adapters for frameworks: `hpdsearch.integrations.langchain` and `hpdsearch.integrations.llamaindex`."""
