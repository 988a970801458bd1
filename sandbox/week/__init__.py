"""One week on the platform, played from outside over HTTP by people who know only what `sandbox.json` says."""
