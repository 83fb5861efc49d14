"""Pictures of plans, risks, fits and races: one style, a title that states the finding, text for who cannot see."""
