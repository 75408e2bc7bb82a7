"""Years of an operator's life in a store, and what must be there on each day, told without the product's calendar and queries."""
