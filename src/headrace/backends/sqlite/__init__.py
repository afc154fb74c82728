"""The SQLite rung: queues in a file, for the threads of any number of processes on one machine."""
