"""What our programs in containers share: settings, HTTPS server, clients, periodic work, the end."""
