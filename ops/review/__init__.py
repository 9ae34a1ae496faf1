"""What a change does to every stack, before it is merged: resources, explanation, cost, policy, owners."""
