"""A session read back: its journal folded into an account, its files, its report."""
