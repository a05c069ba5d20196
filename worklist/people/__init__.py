"""Who uses the worklist: accounts, sessions, roles, and the trail of what they did."""
