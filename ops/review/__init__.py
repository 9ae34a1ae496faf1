"""What a change does to every stack, before it is merged: resources, meaning, cost, policy, owners."""
