"""What procedures of drills share: loads that count, faults, and watching what comes back."""
