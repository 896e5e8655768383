"""The site's register of model states: kept in the database of jobs, changed by commands and by the service."""
