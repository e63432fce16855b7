"""The Ray Serve application: gateway, dispatcher, engines, configuration and telemetry."""
