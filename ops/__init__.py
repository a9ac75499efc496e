"""What an operator sets up around the nodes: units, containers, alert rules, a dashboard. Files, and one command."""
