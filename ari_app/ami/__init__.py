"""The manager connection: AstDB kept equal to the plan, reloads, and what is registered."""
