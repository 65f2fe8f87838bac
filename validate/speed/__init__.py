"""How fast an artifact runs, what memory it takes, and where its time goes."""
