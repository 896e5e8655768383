"""The administrator's page: HTML, CSS and JavaScript as they are served; nothing is built, nothing comes from elsewhere."""
