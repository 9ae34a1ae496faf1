"""``obs images``: our images from their Dockerfiles, upstream's images copied, and the digests of both."""
