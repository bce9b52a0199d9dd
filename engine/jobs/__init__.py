"""Jobs: queue with lanes, worker, child processes, events."""
