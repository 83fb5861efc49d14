"""From files that people keep to columns: forecasts, traces, prices, billing exports."""
