"""What quality needs: loss laws, and the published ones."""
