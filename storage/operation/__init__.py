"""What an operator does and is told: switches, retries, interventions, alerts, replays."""
