"""From runs that repeat their data to what repeated tokens are worth."""
