"""From a job file to what goes on chain, for the command line and for the pages: job file, terms, plan."""
