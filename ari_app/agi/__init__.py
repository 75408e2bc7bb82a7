"""The FastAGI route server: the same decision as the ARI app's, for calls that arrive while the app is away."""
