"""What responses cost beside plain pass-through, in CPU, in the database and in memory: `./run bench responses`."""
