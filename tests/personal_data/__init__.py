"""What each surface of the service shows of people, found by looking: docs/personal-data.md is made from it."""
