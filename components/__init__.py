"""The platform's building blocks: one package per stage of the data flow."""
