"""How the pieces are composed: the only code that knows more than one component."""
