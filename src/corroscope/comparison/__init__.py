"""`compare`: results of one command side by side."""
